r"""DDRNet, https://arxiv.org/abs/2101.06085.

mmsegmentation, whose network and recipe Cityscapes has, reports 77.84 mIoU on
Cityscapes val with DDRNet-23-slim and 79.99 with DDRNet-23, from backbones
trained on ImageNet (one scale, 120k steps). Ours: 87.3 on val of `shapes`, half
as wide, from random weights, 700 steps in 1.8 CPU minutes, by the first
command.

  bash launch/local.sh --config=configs/ddrnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/ddrnet.py:dataset=cityscapes,network=23
"""

from configs import common

NETWORKS = {
    '23_slim': dict(width=32, head_features=64),
    '23': dict(width=64, head_features=128),
}
CITYSCAPES = dict(
    train='random_scale(0.5, 2.0)|random_crop(1024, cat_max_ratio=0.75)|flip'
    '|photometric|normalize',
    class_weights=common.CITYSCAPES_WEIGHTS,
    steps=120_000,
    batch=12,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', network='23_slim', small=False)
  recipe = CITYSCAPES if arg.dataset == 'cityscapes' and not arg.small else {}
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'ddrnet'
  config.model = dict(
      **common.choose('network', arg.network, NETWORKS),
      pyramid_features=128,
      dropout=0.0,
      aux_head=True,
  )
  if arg.small:
    config.model.update(width=16, head_features=32, pyramid_features=32)
  if recipe:
    # At least 131,072 pixels of the 6 images of a GPU are kept.
    config.loss = 'ohem_cross_entropy(threshold=0.9, min_kept=21845)'
    config.lr.schedule = 'poly(power=0.9)'
  return config
