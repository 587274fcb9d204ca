"""What all configs share: every option with its default, and data sets.

A config begins as `base(dataset)` and changes what its paper does differently.
Configs import nothing of segjax, so that a launcher can read them without JAX.
"""

import ast
import types

import ml_collections

# What training usually does to an image, after mmsegmentation 1.2.2; the crop
# differs by data set.
USUAL = 'random_scale(0.5, 2.0)|random_crop({})|flip|photometric|normalize'

# What `normalize` divides by where it is not told otherwise.
IMAGENET_STD = (58.395, 57.12, 57.375)

# What networks of Caffe see: BGR from 0 to 255, minus the mean.
BGR = 'normalize((122.679, 116.669, 104.007), 1.0)|bgr'
BGR_CROPS = dict(
    train=f'random_crop(321, cat_max_ratio=1.0)|flip|{BGR}', eval=BGR
)

# The recipes of mmsegmentation where it has the set, else ours.
DATASETS = {
    'camvid': dict(
        train=USUAL.format('360, 480'),
        class_weights='inverse_log(offset=1.1)',
        steps=40_000,
        batch=8,
    ),
    'cityscapes': dict(train=USUAL.format('512, 1024'), steps=80_000, batch=8),
    'voc2012': dict(
        train_split='train_aug',
        train=USUAL.format('512'),
        steps=40_000,
        batch=16,
    ),
    'ade20k': dict(
        train="resize(512, mode='short')|" + USUAL.format('512'),
        eval="resize(512, mode='short')|normalize",
        steps=160_000,
        batch=16,
    ),
    'pascal_context': dict(
        train="resize(520, mode='long')|" + USUAL.format('480'),
        eval="resize(520, mode='long')|normalize",
        steps=80_000,
        batch=16,
    ),
    'coco_stuff': dict(
        train="resize(512, mode='short')|" + USUAL.format('512'),
        eval="resize(512, mode='short')|normalize",
        steps=160_000,
        batch=16,
    ),
    'isbi2012': dict(
        train='rotate(0.5, 180.0)|random_scale(0.5, 2.0)|random_crop(256)|flip'
        '|normalize(127.5, 64.0)',
        eval='normalize(127.5, 64.0)',
        steps=10_000,
        batch=8,
    ),
    'drive': dict(
        train=USUAL.format('256'), eval_split='test', steps=40_000, batch=16
    ),
    'oxford_iiit_pet': dict(
        train=USUAL.format('320'), eval_split='test', steps=20_000, batch=16
    ),
    'folder': dict(train=USUAL.format('512'), steps=40_000, batch=8),
}

# The like for a laptop without an accelerator: minutes to an hour.
SMALL = {
    'shapes': dict(
        options=dict(difficulty=0.0),  # Up to 1.
        train='flip|random_crop(96, 128)|normalize',
        steps=700,
        batch=16,
        lr=5e-3,
        predict_batch=16,
    ),
    'camvid': dict(
        # Scenes at 0.5 to 0.8 of their size, predicted at 0.75.
        train='random_scale(0.5, 0.8)|random_crop(176, 240)|flip|normalize',
        eval='resize(270, 360)|normalize',
        class_weights='inverse_log(offset=1.1)',
        steps=1800,
        batch=8,
        flip=True,
    ),
    'isbi2012': dict(
        train='random_crop(128)|flip|normalize(127.5, 64.0)',
        eval='normalize(127.5, 64.0)',
        steps=600,
        batch=8,
    ),
    'folder': dict(
        train='random_scale(0.5, 2.0)|random_crop(128)|flip|normalize',
        steps=1000,
        batch=8,
    ),
}


def parse_arg(arg, **defaults):
  """Returns the argument after a config's colon as a namespace.

  Args:
    arg: 'dataset=camvid,backbone=resnet/18', or 'camvid' for short: the name of
      the first default may be left out. A value may have commas in
      parentheses: 'backbone=resnet/18(output_stride=8, multi_grid=(1, 2))'.
    **defaults: the names there are, with strings or booleans as values.
  """
  values = dict(defaults)
  for part in filter(None, _split(arg)):
    name, _, value = part.rpartition('=')
    if '(' in name:  # That sign is of an option of the value.
      name, _, value = part.partition('=')
    name = name or next(iter(defaults))
    if name not in defaults:
      raise ValueError(
          f'A config takes {", ".join(defaults)} after its colon, not {name}.'
      )
    if isinstance(defaults[name], bool):
      if value not in ('True', 'False'):
        raise ValueError(f'{name} is True or False, not {value!r}.')
      value = value == 'True'
    values[name] = value
  if values.get('dataset') == 'shapes':
    values['small'] = True  # There is no other recipe.
  return types.SimpleNamespace(**values)


def _split(arg):
  """Returns the parts of a string between those commas outside parentheses."""
  parts, depth = [''], 0
  for letter in arg:
    depth += (letter == '(') - (letter == ')')
    if letter == ',' and depth <= 0:
      parts.append('')
    else:
      parts[-1] += letter
  return parts


def backbone(text, **options):
  """Returns a backbone's string with the options that a system wants.

  Those that the string has already stay as they are: 'resnet/18' becomes
  'resnet/18(output_stride=16)' and 'resnet/18(output_stride=8)' stays.

  Args:
    text: a string such as 'resnet/18' or 'resnet/18(multi_grid=(1, 2))'.
    **options: of the backbone, with their values.
  """
  name, opening, rest = text.strip().partition('(')
  try:
    call = ast.parse(f'f({rest if opening else ")"}', mode='eval').body
  except SyntaxError as error:
    raise ValueError(
        f'Cannot read the options of the backbone {text!r}. Write them as in'
        " 'resnet/50(output_stride=8, multi_grid=(1, 2, 4))'."
    ) from error
  written = {word.arg for word in getattr(call, 'keywords', ())}
  inside = [f'{k}={v!r}' for k, v in options.items() if k not in written]
  if rest[:-1].strip():
    inside.append(rest[:-1].strip())
  return f'{name}({", ".join(inside)})' if inside else name


def caffe_sgd(config, base, schedule, *, new='', frozen=''):
  """Has a config train as Caffe does: biases learn twice as fast, undecayed.

  Args:
    config: what is changed.
    base: learning rate.
    schedule: of it.
    new: regular expression of what learns ten times as fast.
    frozen: of what does not learn.
  """
  factors = ((frozen, 0.0),) if frozen else ()
  if new:
    factors += ((f'{new}.*kernel', 10.0), (f'{new}.*bias', 20.0))
  config.optim.factors = (*factors, ('bias$', 2.0))
  config.optim.decay_on = 'kernel$'
  config.lr.base = base
  config.lr.schedule = schedule


def choose(name, value, known):
  """Returns the entry `value` of a table for the argument `name`."""
  if value not in known:
    raise ValueError(f'{name} is one of {", ".join(known)}, not {value!r}.')
  return known[value]


def camvid_of_segnet(config, *, steps, batch, lr):
  """Has CamVid as SegNet's authors train on it: whole images, 0 to 255."""
  config.preprocess.train = 'random_crop(360, 480)|flip|normalize(0.0, 1.0)'
  config.preprocess.eval = 'normalize(0.0, 1.0)'
  config.class_weights = 'median_frequency'
  config.total_steps = steps
  config.batch_size = batch
  config.lr.base = lr
  config.lr.schedule = 'constant'
  config.optim.decay_on = 'kernel|scale'
  config.eval_every = config.checkpoint_every = steps // 10


def binary(config):
  """Has two classes told apart by a sigmoid, learnt by Adam without decay."""
  config.task = 'binary'
  config.loss = 'binary_cross_entropy + dice'
  config.optim.optimizer = 'adam'
  config.optim.weight_decay = 0.0
  config.lr.base = 1e-3
  config.lr.schedule = 'cosine'


def base(dataset, *, small=False, **changes):
  """Returns all options but `model_name` and `model`.

  Args:
    dataset: a key of `DATASETS` or `SMALL`.
    small: takes the recipe for a laptop.
    **changes: entries of the recipe that the system wants otherwise.
  """
  recipes = SMALL if small else DATASETS
  if dataset not in recipes:
    raise ValueError(
        f'There is no {"small " * small}recipe for the data set {dataset!r}.'
        f' Known: {", ".join(recipes)}.'
    )
  recipe = {**recipes[dataset], **changes}
  config = ml_collections.ConfigDict()
  config.task = 'semantic'  # Or 'binary': two classes, one sigmoid channel.
  config.seed = 0

  config.dataset = ml_collections.ConfigDict()
  config.dataset.name = dataset
  config.dataset.train_split = recipe.get('train_split', 'train')
  config.dataset.eval_split = recipe.get('eval_split', 'val')
  # Of this set alone.
  config.dataset.options = ml_collections.ConfigDict(recipe.get('options', {}))
  config.data_dir = ''  # Or the environment variable SEGJAX_DATA_DIR.
  # An example that cannot be read: 'raise', or 'skip' and count it.
  config.on_bad_example = 'raise'
  config.threads = 2  # That read and transform examples.
  # Seconds to wait for an example before the run ends; 0 waits for ever.
  config.loader_timeout = 600.0
  # Memory of each host for examples of training that need not be read again.
  config.decoded_gb = 1.0

  # Ops of segjax/data/transforms. Those of eval do not change the label: scores
  # are counted at its own size.
  config.preprocess = ml_collections.ConfigDict()
  config.preprocess.train = recipe['train']
  config.preprocess.eval = recipe.get('eval', 'normalize')

  # A workdir, of a run or of segjax.convert, whose weights to begin with; '' is
  # from scratch. Variables that do not fit are initialised anew, and named.
  config.init_from = ''
  config.init_only = ''  # Regular expression of those to take; '' takes all.

  config.total_steps = recipe['steps']
  config.batch_size = recipe['batch']  # Over all devices.
  config.parallel = 'pmap'  # Or 'jit', over the mesh.
  # (data, rows): the batch is divided over `data` groups of devices, -1 for as
  # many as there are, and images over the `rows` devices of a group, for those
  # that one has no room for; 1 with 'pmap'.
  config.mesh = (-1, 1)
  # Divides parameters and the optimiser's state over all devices, as ZeRO and
  # FSDP do; False with 'pmap'.
  config.shard_state = False
  # Keeps less for the backward pass and computes it again: see
  # segjax/layers/remat.py.
  config.remat = False
  config.dtype = 'float32'  # Or 'bfloat16', of activations.

  config.loss = 'cross_entropy'  # A sum of calls of segjax/losses.
  config.aux_weight = 0.4  # Of the loss of each auxiliary head, or {name: ...}.
  # Keyword arguments of the loss that a model file adds, if it adds one.
  config.system_loss = ml_collections.ConfigDict()
  # '', numbers ('1.0, 2.5'), or a rule of segjax/data/statistics.py: 'auto',
  # 'inverse_log(offset=1.1)', 'median_frequency'.
  config.class_weights = recipe.get('class_weights', '')

  config.optim = ml_collections.ConfigDict()
  config.optim.optimizer = 'sgd(momentum=0.9)'  # A call of segjax/optim.py.
  config.optim.weight_decay = 5e-4
  config.optim.decay_on = '.*'  # Regular expression of parameter names.
  # On the rate: (('classifier', 10.0), ...). 0.0 freezes what has the name, and
  # statistics of norms too: they are used as in evaluation, and kept.
  config.optim.factors = ()
  config.optim.clip = 0.0  # Norm of the gradient; 0 does not clip.
  config.optim.accumulate = 1  # Parts to work through a batch in.
  config.optim.ema = 0.0  # Decay of averaged parameters; 0 keeps none.
  # Optimisers by parameter names and turn: {'NAME': dict(names='REGEX', ...)},
  # see `Group` in segjax/optim.py; empty is one for all.
  config.optim.groups = ml_collections.ConfigDict()
  config.lr = ml_collections.ConfigDict()
  config.lr.base = 0.01
  config.lr.schedule = 'poly(power=0.9, floor=1e-4)'
  config.lr.warmup_steps = 0
  # What the warm-up begins with, of the rate; 0.0 begins with the first of
  # `warmup_steps` equal shares.
  config.lr.warmup_from = 0.0
  config.max_bad_steps = 10  # Skipped in a row before the run stops.

  # Fields of segjax/inference/views.py.
  config.predict = ml_collections.ConfigDict()
  config.predict.mode = 'whole'  # Or 'slide'.
  config.predict.window = (512, 512)
  config.predict.stride = (341, 341)
  config.predict.weights = 'flat'  # Or 'hann'.
  config.predict.scales = (1.0,)
  config.predict.flip = recipe.get('flip', False)
  # Of two classes, the second is where it is more probable than this.
  config.predict.threshold = 0.5
  # Of the probabilities: a file of segjax/refine with its options, such as
  # 'dense_crf(gaussian=(3.0, 1.0), bilateral=(4.0, 67.0, 3.0), iterations=10)'.
  config.predict.refine = ''
  # Windows at a time on each device.
  config.predict.batch_size = recipe.get('predict_batch', 1)
  # Sides grow to a multiple of this by zeros, which are cut off afterwards:
  # fewer shapes to compile. Scores change a little near the border and, of a
  # model that averages over the whole image, everywhere.
  config.predict.pad_to = 1
  config.absent = 'skip'  # Classes that do not occur; or 'zero', 'truth'.

  if small:  # From random weights, in few steps.
    config.optim.optimizer = 'adamw'
    config.optim.weight_decay = 0.05
    config.lr.base = recipe.get('lr', 1e-3)
    config.lr.schedule = 'cosine'
    config.lr.warmup_steps = config.total_steps // 20

  config.log_every = 50
  config.eval_every = config.total_steps // (2 if small else 10)
  config.checkpoint_every = config.total_steps // 10
  config.keep = 2  # Newest checkpoints, beside the best.
  config.num_pictures = 4
  config.profile = False
  return config
