r"""The search of FasterSeg, https://arxiv.org/abs/1912.10917.

No score of the network that is searched is at hand. What it finds is trained by
configs/fasterseg.py. In the order of the paper, on Cityscapes:

  python -m segjax.main --workdir=runs/pretrain \
      --config=configs/fasterseg_search.py:dataset=cityscapes,pretrain=True
  python -m segjax.tools.latency --output=runs/latency.json \
      --config=configs/fasterseg_search.py:dataset=cityscapes
  python -m segjax.main --workdir=runs/search --config.init_from=runs/pretrain \
      --config=configs/fasterseg_search.py:dataset=cityscapes,latency=runs/latency.json
  python -m segjax.tools.genotype --workdir=runs/search

The first command trains weights alone, at the largest, the smallest and random
widths. In the search steps take turns, one of weights and one of the
architectures, each from its half of the training images. It is the recipe of
the authors' code but for the factor of the latency, which that code halves or
doubles after an epoch by the speed of what is found; config.system_loss sets
it. On `shapes` one run does both, and a third of its steps are of weights
alone.

Ours, on `shapes`: six layers, a third of the features, crops of 64, without a
table of latencies, 120 steps of four images, 5 CPU minutes on two cores, of
which compiling takes about two, with the environment variable
XLA_FLAGS=--xla_backend_optimization_level=1: 8.8 mIoU on val of the student.
That is too short to learn more than background.
"""

from configs import common

HALF = 'resize(512, 1024)'
TRAIN = HALF + '|random_scale(0.75, 1.25, step=0.25)|random_crop({})|flip'
RECIPES = {
    'cityscapes': {
        True: dict(
            train=TRAIN.format('256, 512') + '|normalize',
            eval=HALF + '|normalize',
            steps=20 * 495,
            batch=3,
        ),
        False: dict(
            train=TRAIN.format('224, 448') + '|normalize',
            eval=HALF + '|normalize',
            steps=2 * 30 * 743,  # As many of weights as of architectures.
            batch=2,
        ),
    },
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', pretrain=False, latency='', small=False
  )
  recipe = {}
  if not arg.small:
    recipe = RECIPES.get(arg.dataset, {}).get(arg.pretrain, {})
  changes = dict(steps=120, batch=4) if arg.dataset == 'shapes' else recipe
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'fasterseg_search'
  config.model = dict(
      layers=16,
      features=12,
      widths=(4, 6, 8, 10, 12),
      student_ends=8,
      pretrain=arg.pretrain,
      latency=common.table(arg.latency) if arg.latency else (),
      latency_size=(1024, 2048),
  )
  config.system_loss.latency_weight = 0.01
  config.system_loss.shares = (1 / 500, 497 / 500, 2 / 500)
  architecture = r'^(teacher|student)/'
  if arg.pretrain:
    config.optim.factors = ((architecture, 0.0),)
  else:
    config.dataset.by_turn = True
    config.optim.groups.weights = dict(names='', turn=0)
    config.optim.groups.architecture = dict(
        names=architecture,
        turn=1,
        begin=1 / 3 if arg.small else 0.0,
        optimizer='adam(b1=0.5)',
        weight_decay=0.0,
        clip=0.0,
        base=3e-2 if arg.small else 3e-4,
        schedule='constant',
    )
  if arg.small:
    config.model.update(
        layers=6,
        features=4,
        widths=(6, 12),
        student_ends=6,
        latency_size=(96, 128),
    )
    config.preprocess.train = 'flip|random_crop(64)|normalize'
    config.eval_every = config.total_steps
  else:
    # A sixteenth of the pixels of a crop at stride 8, at least.
    kept = 128 if arg.pretrain else 98
    config.loss = f'ohem_cross_entropy(min_kept={kept})'
    config.optim.clip = 5.0
    config.lr.base = 0.02 if arg.pretrain else 0.01
    # After an epoch, of two turns in the search.
    every = 495 if arg.pretrain else 2 * 743
    config.lr.schedule = f'exponential(factor=0.978, every={every})'
  return config
