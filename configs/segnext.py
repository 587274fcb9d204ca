r"""SegNeXt, https://arxiv.org/abs/2209.08575.

mmsegmentation, whose network and recipe ADE20K has, reports 41.50 mIoU on
ADE20K val with SegNeXt-T, 44.16 with S, 48.03 with B and 50.99 with L, from
backbones trained on ImageNet (one scale, 160k steps).

  bash launch/local.sh --config=configs/segnext.py
  python -m segjax.main --workdir=runs/ade20k \
      --config=configs/segnext.py:dataset=ade20k,network=base
"""

from configs import common

# Channels of the head.
NETWORKS = {'tiny': 256, 'small': 256, 'base': 512, 'large': 1024}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', network='tiny', backbone='', small=False
  )
  features = common.choose('network', arg.network, NETWORKS)
  changes = dict(lr=1e-2) if arg.small else {}
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'segnext'
  config.model = dict(
      backbone=arg.backbone
      or ('mscan/mini' if arg.small else f'mscan/{arg.network}'),
      features=32 if arg.small else features,
      rank=16,
      train_steps=6,
      eval_steps=7,
      groups=8 if arg.small else 32,
      dropout=0.1,
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  if arg.small:
    return config
  config.optim.optimizer = 'adamw'
  config.optim.weight_decay = 0.01
  config.optim.decay_on = '^(?!backbone/.*norm)'
  config.optim.factors = (('^(?!backbone/)', 10.0),)
  config.lr.base = 6e-5
  config.lr.schedule = 'poly(power=1.0)'
  config.lr.warmup_steps = 1500
  config.lr.warmup_from = 1e-6
  return config
