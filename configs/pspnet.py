r"""PSPNet, https://arxiv.org/abs/1612.01105.

The paper reports 41.68 mIoU on ADE20K val (ResNet-50, one scale) and 78.4 on
the test set of Cityscapes. mmsegmentation reports 78.55 on Cityscapes val
(ResNet-50, crops of 512x1024, 80k steps).

  bash launch/local.sh --config=configs/pspnet.py
  python -m segjax.main --workdir=runs/ade20k \
      --config=configs/pspnet.py:dataset=ade20k
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'pspnet'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50_v1c'),
          output_stride=8,
      ),
      bins=(1, 2, 3, 6),
      features=512,
      align_corners=False,
      dropout=0.1,
      aux_level='c4',
      aux_features=0,
  )
  if arg.small:
    config.model.update(features=64)
  return config
