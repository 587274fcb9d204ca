r"""SFNet, semantic flow, https://arxiv.org/abs/2002.10120.

Paper: 80.4 mIoU on Cityscapes test (ResNet-18, pretrained on Mapillary). Its
authors report 79.0 on val with ResNet-18 (78.4 without class-uniform sampling)
and 80.4 with ResNet-50. Ours: 75.4 on val of `shapes`, a tiny ResNet from
random weights, 700 steps in 2 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/sfnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/sfnet.py:dataset=cityscapes

On Cityscapes network and recipe are the authors' for ResNet-18: 300 epochs,
half of the crops laid over their classes, no auxiliary heads, and a loss of
hard pixels, at least 10,000 of the two crops of a device. With
`--config.model.aux_heads=True` theirs are at least 100,000:
`ohem_cross_entropy(min_kept=50000, inclusive=True)`. They change colours by
torchvision's transforms, which `photometric` is close to.
"""

from configs import common

CITYSCAPES = dict(
    train='random_scale(0.5, 2.0)|random_crop(1024, cat_max_ratio=1.0)|flip'
    '|photometric(32.0, (0.75, 1.25), (0.75, 1.25), 45)|blur|normalize',
    steps=55_800,
    batch=16,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = CITYSCAPES if arg.dataset == 'cityscapes' and not arg.small else {}
  config = common.base(arg.dataset, small=arg.small, aux_weight=1.0, **recipe)
  deep = '50' in arg.backbone or '101' in arg.backbone
  config.model_name = 'sfnet'
  config.model = dict(
      backbone=arg.backbone
      or ('resnet/tiny' if arg.small else 'resnet/18_sfnet'),
      features=32 if arg.small else 256 if deep else 128,
      aux_heads=not recipe,
      dropout=0.1,
  )
  if recipe:
    config.dataset.class_uniform = 0.5
    config.loss = 'ohem_cross_entropy(min_kept=5000, inclusive=True)'
    config.optim.weight_decay = 1e-4
    config.lr.schedule = 'poly(power=1.0)'
  return config
