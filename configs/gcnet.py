r"""GCNet, https://arxiv.org/abs/1904.11492.

The paper reports detection. mmsegmentation, whose network and recipe this is,
reports 78.48 mIoU on Cityscapes val (ResNet-50, crops of 512x1024, 80k steps)
and 42.37 on ADE20K val (ResNet-50, 160k steps), one scale each.

  bash launch/local.sh --config=configs/gcnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/gcnet.py:dataset=cityscapes
"""

from configs import common


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'gcnet'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50_v1c'),
          output_stride=8,
      ),
      features=512,
      reduction=4,
      align_corners=False,
      dropout=0.1,
      aux_level='c4',
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  if arg.small:
    config.model.update(features=64)
  return config
