r"""Auto-DeepLab, https://arxiv.org/abs/1901.02985.

Paper: 79.74 (S), 80.04 (M) and 80.33 (L) mIoU on Cityscapes val, one scale,
from random weights; 80.4 on test (L). A port, NoamRosenberg's, reports 79.8 for
M after 4000 epochs. Ours: not trained yet.

  bash launch/local.sh --config=configs/autodeeplab.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/autodeeplab.py:dataset=cityscapes

The cell and the levels are those that the authors published. Those of another
search, see configs/autodeeplab_search.py, are trained by

  python -m segjax.main --workdir=runs/found \
      --config=configs/autodeeplab.py:found=runs/search/genotype.json

On Cityscapes it is the paper's recipe for training what was found, without its
scheduled drop path, whose rate is not at hand; config.model.drop_path sets one.
"""

from configs import common

RECIPES = {
    'cityscapes': dict(
        train='random_scale(0.5, 2.0)|random_crop(769)|flip'
        '|normalize(127.5, 127.5)',
        eval='normalize(127.5, 127.5)',
        steps=1_500_000,
        batch=8,
    ),
}
CELL = (
    *((0, 'atrous5'), (1, 'sep3')),
    *((0, 'sep3'), (1, 'atrous3')),
    *((3, 'sep3'), (0, 'sep3')),
    *((4, 'sep5'), (2, 'sep5')),
    *((3, 'sep5'), (5, 'atrous5')),
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', found='', small=False)
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'autodeeplab'
  config.model = dict(
      features=20,
      levels=(0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1),
      cell=CELL,
      low=2,
      stem_features=128,
      head_features=256,
      low_features=48,
      rates=(6, 12, 18),
      momentum=0.9997,
      dropout=(0.0, 0.0),
      drop_path=0.0,
      port=False,
      activated=False,
      affine=True,
  )
  if arg.small:
    config.model.update(
        features=8,
        levels=(0, 1, 2, 1),
        low=0,
        stem_features=32,
        head_features=64,
        low_features=16,
        rates=(2, 4, 6),
        momentum=0.9,
    )
  if arg.found:
    config.model.update(common.found(arg.found))
  if recipe:
    config.lr.base = 0.05
    config.lr.schedule = 'poly(power=0.9)'
    config.optim.weight_decay = 4e-5
    config.optim.decay_on = 'kernel$'
  return config
