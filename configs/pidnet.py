r"""PIDNet, https://arxiv.org/abs/2206.02066.

mmsegmentation, whose network and recipe Cityscapes has, reports 78.74 mIoU on
Cityscapes val with PIDNet-S, 80.22 with M and 80.89 with L, from backbones
trained on ImageNet (one scale, 120k steps). Ours: 88.1 on val of `shapes`, with
fewer and narrower blocks from random weights, 700 steps in 2.2 CPU minutes, by
the first command.

  bash launch/local.sh --config=configs/pidnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/pidnet.py:dataset=cityscapes,network=l
"""

from configs import common

NETWORKS = {
    's': dict(width=32, pyramid_features=96, head_features=128),
    'm': dict(width=64, pyramid_features=96, head_features=128),
    'l': dict(
        width=64,
        stem_depth=3,
        branch_depth=4,
        pyramid_features=112,
        head_features=256,
        large=True,
    ),
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
  arg = common.parse_arg(arg, dataset='shapes', network='s', small=False)
  recipe = CITYSCAPES if arg.dataset == 'cityscapes' and not arg.small else {}
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'pidnet'
  config.model = dict(
      stem_depth=2,
      branch_depth=3,
      large=False,
      dropout=0.1,
      more_heads=True,
  )
  config.model.update(common.choose('network', arg.network, NETWORKS))
  # The head on P; its sum is divided by the number of all pixels.
  config.aux_loss = "cross_entropy(divide_by='all')"
  config.system_loss = dict(
      boundary_weight=20.0,
      at_boundary_weight=1.0,
      threshold=0.8,
      edge_width=4,
  )
  if arg.small:
    config.model.update(
        width=16,
        stem_depth=1,
        branch_depth=1,
        pyramid_features=32,
        head_features=32,
    )
  if recipe:
    # At least 131,072 pixels of the 6 images of a GPU are kept.
    config.loss = 'ohem_cross_entropy(threshold=0.9, min_kept=21845)'
    config.lr.schedule = 'poly(power=0.9)'
  return config
