r"""The search of Auto-DeepLab, https://arxiv.org/abs/1901.02985.

Paper: the network of all paths reaches about 35 mIoU on Cityscapes val in 40
epochs, by its plot, and NoamRosenberg's port, whose recipe this is, 37. What it
finds is trained by configs/autodeeplab.py:

  python -m segjax.main --workdir=runs/search \
      --config=configs/autodeeplab_search.py:dataset=cityscapes
  python -m segjax.tools.genotype --workdir=runs/search
  python -m segjax.main --workdir=runs/found \
      --config=configs/autodeeplab.py:dataset=cityscapes,found=runs/search/genotype.json

Steps take turns: one of the weights and one of the architecture, each from its
half of the training images. The architecture begins after a third of the steps,
which are half of those of the weights: 20 epochs of 40.

Ours, on `shapes`: three layers, two blocks a cell, crops of 48 x 64, 240 steps,
4.1 CPU minutes on two cores, of which compiling takes about two: 14.5 mIoU on
val of the network of all paths. It finds cells of skips alone, to which such
searches are known to tend (https://arxiv.org/abs/1909.09656). How much what is
found is worth beside random networks, segjax.tools.random_networks tells.
"""

from configs import common

SCALE = "resize(512, mode='short')"
RECIPES = {
    'cityscapes': dict(
        train=f'{SCALE}|random_crop(321)|flip|normalize',
        eval=f'{SCALE}|normalize',
        steps=44_610,
        batch=2,
    ),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  changes = dict(steps=240, batch=8) if arg.dataset == 'shapes' else recipe
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'autodeeplab_search'
  config.model = dict(layers=12, features=8, blocks=5, slip=False)
  config.dataset.by_turn = True
  config.optim.groups.weights = dict(names='', turn=0)
  config.optim.groups.architecture = dict(
      names='^(alphas|betas)$',
      turn=1,
      begin=1 / 3,
      optimizer='adam',
      weight_decay=1e-3,
      decay_on='.*',
      base=3e-3,
      schedule='constant',
  )
  if arg.small:
    config.model.update(layers=3, features=4, blocks=2)
    config.preprocess.train = 'flip|random_crop(48, 64)|normalize'
    config.optim.groups.architecture.base = 3e-2
  else:
    config.optim.weight_decay = 3e-4
    config.lr.base = 0.025
    config.lr.schedule = 'cosine(floor=1e-3)'
  return config
