r"""DeepLabv3, https://arxiv.org/abs/1706.05587.

  bash launch/local.sh --config=configs/deeplabv3.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/deeplabv3.py:dataset=voc2012,backbone=resnet/101
"""

from configs import common


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'deeplabv3'
  config.model = dict(
      backbone=arg.backbone or ('resnet/tiny' if arg.small else 'resnet/101'),
      output_stride=16,
      multi_grid=(),
      rates=(6, 12, 18),
      features=256,
      image_first=False,
      project_kernel=1,
      fuse=True,
      dropout=0.1,
      aux_level='c4',
  )
  if arg.small:  # So are the feature maps: the usual rates would see padding.
    config.model.update(rates=(3, 6, 9), features=128)
  if arg.dataset == 'shapes':
    config.model.update(output_stride=8, features=64)
  return config
