"""What all configs share: every option with its default, and data sets.

A config begins as `base(dataset)` and changes what its paper does differently.
Configs import nothing of segjax, so that a launcher can read them without JAX.
"""

import types

import ml_collections

# The recipes of mmsegmentation 1.2.2 where it has the set, else ours.
DATASETS = {
    'shapes': dict(
        train='flip|normalize|random_crop(96, 128)',
        total_steps=900,
        batch_size=16,
    ),
    'folder': dict(
        train='random_scale(0.5, 2.0)|random_crop(512)|flip|photometric|normalize',
        total_steps=40_000,
        batch_size=8,
    ),
    'camvid': dict(
        train='random_scale(0.5, 2.0)|random_crop(360, 480)|flip|photometric|normalize',
        total_steps=40_000,
        batch_size=8,
    ),
    'cityscapes': dict(
        train='random_scale(0.5, 2.0)|random_crop(512, 1024)|flip|photometric|normalize',
        total_steps=80_000,
        batch_size=8,
    ),
    'voc2012': dict(
        train_split='train_aug',
        train='random_scale(0.5, 2.0)|random_crop(512)|flip|photometric|normalize',
        total_steps=40_000,
        batch_size=16,
    ),
    'ade20k': dict(
        train="resize(512, mode='short')|random_scale(0.5, 2.0)|random_crop(512)"
        '|flip|photometric|normalize',
        eval="resize(512, mode='short')|normalize",
        total_steps=160_000,
        batch_size=16,
    ),
    'pascal_context': dict(
        train="resize(520, mode='long')|random_scale(0.5, 2.0)|random_crop(480)"
        '|flip|photometric|normalize',
        eval="resize(520, mode='long')|normalize",
        total_steps=80_000,
        batch_size=16,
    ),
    'coco_stuff': dict(
        train="resize(512, mode='short')|random_scale(0.5, 2.0)|random_crop(512)"
        '|flip|photometric|normalize',
        eval="resize(512, mode='short')|normalize",
        total_steps=160_000,
        batch_size=16,
    ),
    'isbi2012': dict(
        train='rotate(180)|random_scale(0.5, 2.0)|random_crop(256)|flip|normalize(127.5, 64.0)',
        eval='normalize(127.5, 64.0)',
        total_steps=10_000,
        batch_size=8,
    ),
    'drive': dict(
        train='random_scale(0.5, 2.0)|random_crop(256)|flip|photometric|normalize',
        eval_split='train',
        total_steps=40_000,
        batch_size=16,
    ),
    'oxford_iiit_pet': dict(
        train='random_scale(0.5, 2.0)|random_crop(320)|flip|photometric|normalize',
        eval_split='test',
        total_steps=20_000,
        batch_size=16,
    ),
}


def parse_arg(arg, **defaults):
  """Returns the argument after a config's colon as a namespace.

  Args:
    arg: 'dataset=camvid,backbone=resnet/18', or 'camvid' for short: the name of
      the first default may be left out.
    **defaults: the names there are, with strings as values.
  """
  values = dict(defaults)
  for part in filter(None, arg.split(',')):
    name, _, value = part.rpartition('=')
    name = name or next(iter(defaults))
    if name not in defaults:
      raise ValueError(
          f'A config takes {", ".join(defaults)} after its colon, not {name}.'
      )
    values[name] = value
  return types.SimpleNamespace(**values)


def base(dataset):
  """Returns all options but `model_name` and `model`, for a data set."""
  if dataset not in DATASETS:
    raise ValueError(
        f'There is no data set {dataset!r}. Known: {", ".join(DATASETS)}.'
    )
  recipe = DATASETS[dataset]
  config = ml_collections.ConfigDict()
  config.task = 'semantic'
  config.seed = 0

  config.dataset = ml_collections.ConfigDict()
  config.dataset.name = dataset
  config.dataset.train_split = recipe.get('train_split', 'train')
  config.dataset.eval_split = recipe.get('eval_split', 'val')
  config.dataset.options = ml_collections.ConfigDict()
  config.data_dir = ''  # Or the environment variable SEGJAX_DATA_DIR.
  # An example that cannot be read: 'raise', or 'skip' and count it.
  config.on_bad_example = 'raise'
  config.threads = 2  # That read and transform examples.

  # Ops of segjax/data/transforms. Those of eval do not change the label: scores
  # are counted at its own size.
  config.preprocess = ml_collections.ConfigDict()
  config.preprocess.train = recipe['train']
  config.preprocess.eval = recipe.get('eval', 'normalize')

  config.total_steps = recipe['total_steps']
  config.batch_size = recipe['batch_size']  # Over all devices.
  config.parallel = 'pmap'  # Or 'jit', over a mesh.
  config.dtype = 'float32'  # Or 'bfloat16', of activations.

  config.loss = 'cross_entropy'  # A sum of calls of segjax/losses.
  config.aux_weight = 0.4  # Of the loss of each auxiliary head.
  # '', 'auto' (1 / ln(1.02 + f)), 'median_frequency', or numbers: '1.0, 2.5'.
  config.class_weights = ''

  config.optim = ml_collections.ConfigDict()
  config.optim.optimizer = 'sgd(momentum=0.9)'  # A call of segjax/optim.py.
  config.optim.weight_decay = 5e-4
  config.optim.decay_on = '.*'  # Regular expression of parameter names.
  config.optim.factors = ()  # On the rate: (('classifier', 10.0), ...).
  config.optim.clip = 0.0  # Norm of the gradient; 0 does not clip.
  config.optim.accumulate = 1  # Parts to work through a batch in.
  config.optim.ema = 0.0  # Decay of averaged parameters; 0 keeps none.
  config.lr = ml_collections.ConfigDict()
  config.lr.base = 0.01
  config.lr.schedule = 'poly(power=0.9, floor=1e-4)'
  config.lr.warmup_steps = 0
  config.max_bad_steps = 10  # Skipped in a row before the run stops.

  # Fields of segjax/inference.py.
  config.predict = ml_collections.ConfigDict()
  config.predict.mode = 'whole'  # Or 'slide'.
  config.predict.window = (512, 512)
  config.predict.stride = (341, 341)
  config.predict.weights = 'flat'  # Or 'hann'.
  config.predict.scales = (1.0,)
  config.predict.flip = False
  config.predict.batch_size = 1
  config.predict.pad_to = 1
  config.absent = 'skip'  # Classes that do not occur; or 'zero', 'truth'.

  config.log_every = 50
  config.eval_every = max(config.total_steps // 10, 1)
  config.checkpoint_every = max(config.total_steps // 10, 1)
  config.keep = 2  # Newest checkpoints, beside the best.
  config.num_pictures = 4
  config.profile = False
  return config
