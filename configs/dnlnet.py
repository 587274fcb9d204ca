r"""DNLNet, https://arxiv.org/abs/2006.06668.

mmsegmentation, whose network and recipe this is, reports 79.33 mIoU on
Cityscapes val (ResNet-50, crops of 512x1024, 80k steps) and 41.87 on ADE20K val
(ResNet-50, 160k steps), one scale each.

  bash launch/local.sh --config=configs/dnlnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/dnlnet.py:dataset=cityscapes
"""

from configs import common


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'dnlnet'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50_v1c'),
          output_stride=8,
      ),
      features=512,
      key_features=256,
      temperature=0.05,
      align_corners=False,
      dropout=0.1,
      aux_level='c4',
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  if arg.small:
    config.model.update(features=64, key_features=32)
  return config
