r"""Gated-SCNN, https://arxiv.org/abs/1907.05740.

Paper: 82.8 mIoU on Cityscapes test. PaddleSeg's port on a ResNet-50 has 80.67
on val, one scale.

  bash launch/local.sh --config=configs/gscnn.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/gscnn.py:dataset=cityscapes \
      --config.init_from=IMAGENET

IMAGENET is a workdir that `segjax.convert --source=nvidia
--backbone=resnet38/a2` makes. On Cityscapes it is the recipe of the authors'
code: 175 epochs, an image on each of eight devices, half of the crops laid over
their classes, and Canny's edges of normalised images, as their weights want
them. They change colours by torchvision's transforms, which `photometric` is
close to.
"""

from configs import common

CITYSCAPES = dict(
    train='random_scale(0.5, 2.0)|random_crop(720, cat_max_ratio=1.0)|flip'
    '|photometric(32.0, (0.75, 1.25), (0.75, 1.25), 45)|blur|normalize|canny',
    eval='normalize|canny',
    steps=65_000,
    batch=8,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = CITYSCAPES if arg.dataset == 'cityscapes' and not arg.small else {}
  config = common.base(
      arg.dataset, small=arg.small, **{'class_weights': '', **recipe}
  )
  if not recipe:
    for name in ('train', 'eval'):
      ops = config.preprocess[name]
      config.preprocess[name] = ops.replace('normalize', 'canny|normalize')
  config.model_name = 'gscnn'
  backbone = arg.backbone or (
      'resnet38/tiny' if arg.small else 'resnet38/a2(dropout=(0.3, 0.5))'
  )
  options = {'final_norm': False} if backbone.startswith('resnet38') else {}
  config.model = dict(
      backbone=common.backbone(backbone, output_stride=8, **options),
      first_level='c0' if options else 'c1',
      shape_features=(4, 4, 4) if arg.small else (32, 16, 8),
      features=32 if arg.small else 256,
      rates=(2, 4, 6) if arg.small else (12, 24, 36),
      low_features=8 if arg.small else 48,
  )
  config.loss = 'image_weighted_cross_entropy'
  config.system_loss = dict(
      edge_weight=20.0,
      attention_weight=1.0,
      dual_weight=1.0,
      edge_threshold=0.8,
  )
  if recipe:
    config.dataset.class_uniform = 0.5
    config.optim.weight_decay = 1e-4
    config.lr.schedule = 'poly(power=1.0)'
  return config
