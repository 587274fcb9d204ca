r"""DeepLabv3, https://arxiv.org/abs/1706.05587.

  bash launch/local.sh --config=configs/deeplabv3.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/deeplabv3.py:dataset=voc2012,backbone=resnet/101
"""

from configs import common


def get_config(arg=''):
  """Returns the config; the argument is `dataset=...,backbone=...`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='')
  config = common.base(arg.dataset)
  small = arg.dataset == 'shapes'
  config.model_name = 'deeplabv3'
  config.model = dict(
      backbone=arg.backbone or ('resnet/tiny' if small else 'resnet/101'),
      output_stride=16,
      multi_grid=(),
      rates=(6, 12, 18),
      features=256,
      dropout=0.1,
  )
  if small:
    config.model.update(output_stride=8, rates=(1, 2, 3), features=64)
    config.optim.optimizer = 'adamw'
    config.optim.weight_decay = 0.05
    config.lr.base = 3e-3
    config.lr.schedule = 'cosine'
    config.lr.warmup_steps = 50
    config.predict.batch_size = 16
  return config
