r"""BiSeNetV2, https://arxiv.org/abs/2004.02147.

Paper: 73.4 mIoU on Cityscapes val, 72.6 on test. mmsegmentation, whose network
and recipe Cityscapes has, reports 73.21 on val (160k steps), and 73.57 with
`--config.loss='ohem_cross_entropy(min_kept=10000)'`.

  bash launch/local.sh --config=configs/bisenetv2.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/bisenetv2.py:dataset=cityscapes
"""

from configs import common

CITYSCAPES = dict(
    train=common.USUAL.format('1024, 1024'), steps=160_000, batch=16
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  recipe = CITYSCAPES if arg.dataset == 'cityscapes' and not arg.small else {}
  config = common.base(arg.dataset, small=arg.small, aux_weight=1.0, **recipe)
  config.model_name = 'bisenetv2'
  config.model = dict(
      detail=(64, 64, 128),
      semantic=(16, 32, 64, 128),
      expansion=6,
      head_features=1024,
      boosters=(16, 64, 256, 1024),
      dropout=0.1,
  )
  if arg.small:
    config.model.update(
        detail=(16, 16, 32),
        semantic=(8, 16, 32, 64),
        head_features=64,
        boosters=(8, 16, 32, 64),
    )
  if recipe:
    config.lr.base = 0.05
    config.lr.warmup_steps = 1000
    config.lr.warmup_from = 0.1
  return config
