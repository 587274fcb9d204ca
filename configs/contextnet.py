r"""ContextNet, https://arxiv.org/abs/1805.04554.

Paper: 66.1 mIoU on Cityscapes test, 18.3 images of 1024x2048 a second, about
0.85 million parameters. Ours: 82.9 on val of `shapes`, fewer and narrower
blocks from random weights, 700 steps in 1.4 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/contextnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/contextnet.py:dataset=cityscapes

On Cityscapes it has the settings of SegmenTron, whose network it is: 400
epochs, batches of 4 crops of 768. SegmenTron gives no score of it.
"""

from configs import common

RECIPES = {
    'cityscapes': dict(
        train='random_scale(0.5, 2.0)|random_crop(768)|flip|normalize',
        steps=297_500,
        batch=4,
    ),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'contextnet'
  config.model = dict(
      detail=(32, 64, 128),
      stem=32,
      stages=(
          (1, 32, 1, 1),
          (6, 32, 1, 1),
          (6, 48, 3, 2),
          (6, 64, 3, 2),
          (6, 96, 2, 1),
          (6, 128, 2, 1),
      ),
      features=128,
      scale=0.25,
      padding=0,
      fusion_dilation=1,
      head_depth=2,
      dropout=0.1,
      aux_level='detail',
      aux_features=32,
  )
  if arg.small:
    config.model.update(
        detail=(16, 32, 64),
        stem=16,
        stages=((1, 16, 1, 1), (4, 24, 1, 2), (4, 32, 1, 2), (4, 64, 1, 1)),
        features=64,
        padding=1,
    )
  if recipe:
    config.lr.base = 0.045
    config.lr.schedule = 'poly(power=0.9)'
  return config
