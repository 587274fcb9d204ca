r"""OCRNet, https://arxiv.org/abs/1909.11065.

The authors' code on HRNet-W48, one scale: 81.6 mIoU on Cityscapes val and 56.2
on Pascal Context (59 classes). On ResNet-101 their openseg has 79.63 and
mmsegmentation 80.09 on Cityscapes val. Ours: 78.8 on val of `shapes`, a tiny
HRNet from random weights, 700 steps in 2.3 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/ocrnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/ocrnet.py:dataset=cityscapes
  python -m segjax.main --workdir=runs/resnet \
      --config=configs/ocrnet.py:dataset=ade20k,backbone=resnet/101_v1c

On HRNets, Cityscapes and Pascal Context have the recipe of the authors' code,
484 and 200 epochs, but that moving averages of statistics keep 0.9 a step, not
0.99. On other backbones the network is mmsegmentation's, and so is the recipe
of all other sets.
"""

from configs import common

CROP = 'random_scale(0.5, 2.1, 0.1)|random_crop({}, cat_max_ratio=1.0)'
# The authors' for two sets of the paper.
RECIPES = {
    'cityscapes': dict(
        train=CROP.format('512, 1024') + '|flip|normalize',
        class_weights=common.CITYSCAPES_WEIGHTS,
        steps=120_000,
        batch=12,
        lr=0.01,
        decay=5e-4,
        factors=(),
    ),
    'pascal_context': dict(
        train="resize(520, mode='long')|"
        + CROP.format(520)
        + '|flip|normalize',
        steps=62_400,
        batch=16,
        lr=1e-3,
        decay=1e-4,
        factors=(('^(?!backbone/)', 10.0),),
    ),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  backbone = arg.backbone or ('hrnet/tiny' if arg.small else 'hrnet/w48')
  hrnet = backbone.startswith('hrnet/')
  recipe = {}
  if hrnet and not arg.small:
    recipe = RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'ocrnet'
  config.model = dict(
      backbone=backbone,
      features=512,
      key_features=256,
      bias=True,
      align_corners=True,
      dropout=0.05,
  )
  if not hrnet:
    config.model.update(
        backbone=common.backbone(backbone, output_stride=8),
        bias=False,
        align_corners=False,
        dropout=0.1,
    )
  if arg.small:
    config.model.update(features=64, key_features=32)
  if recipe:
    config.optim.weight_decay = recipe['decay']
    config.optim.factors = recipe['factors']
    config.lr.base = recipe['lr']
    config.lr.schedule = 'poly(power=0.9)'
  return config
