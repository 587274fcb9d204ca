"""All options of configs with their defaults, and the recipes of data sets.

A config begins with `base(dataset)` and changes the options that its paper sets
differently. Configs do not import segjax, so a launcher can read them without
JAX.
"""

import ast
import json
import pathlib
import types

import ml_collections

# The usual augmentation, after mmsegmentation 1.2.2. The size of the crop
# depends on the data set.
USUAL = 'random_scale(0.5, 2.0)|random_crop({})|flip|photometric|normalize'

# Weights of the 19 classes of Cityscapes, which many authors' codes share.
CITYSCAPES_WEIGHTS = (
    '0.8373, 0.9180, 0.8660, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786,'
    ' 1.0023, 0.9539, 0.9843, 1.1116, 0.9037, 1.0865, 1.0955, 1.0865, 1.1529,'
    ' 1.0507'
)

# The default standard deviation of `normalize`.
IMAGENET_STD = (58.395, 57.12, 57.375)

# The input of networks from Caffe: BGR from 0 to 255, minus the mean.
BGR = 'normalize((122.679, 116.669, 104.007), 1.0)|bgr'
BGR_CROPS = dict(
    train=f'random_crop(321, cat_max_ratio=1.0)|flip|{BGR}', eval=BGR
)

# Recipes: those of mmsegmentation for the data sets that it has, else our own.
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
    **{
        name: dict(
            train="resize(512, mode='short')|" + USUAL.format('512'),
            eval="resize(512, mode='short')|normalize",
            steps=160_000,
            batch=16,
        )
        for name in ('coco_instances', 'coco_panoptic')
    },
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
    'nuclei': dict(train=USUAL.format('256'), steps=10_000, batch=8),
}

# Recipes for a computer without an accelerator, which take minutes to an hour.
SMALL = {
    'shapes': dict(
        options=dict(difficulty=0.0),  # The easiest; the hardest is 1.
        train='flip|random_crop(96, 128)|normalize',
        steps=700,
        batch=16,
        lr=5e-3,
        predict_batch=16,
    ),
    'camvid': dict(
        # Images are trained at 0.5 to 0.8 of their size and predicted at 0.75.
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
    **{
        name: dict(
            train='random_scale(0.5, 2.0)|random_crop(128)|flip|normalize',
            steps=1000,
            batch=8,
        )
        for name in ('folder', 'coco_instances', 'coco_panoptic')
    },
    'nuclei': dict(
        train='random_scale(0.8, 1.6)|random_crop(128)|flip|normalize',
        steps=1000,
        batch=8,
    ),
}


def parse_arg(arg, **defaults):
  """Parses the argument after a config's colon.

  Args:
    arg: such as 'dataset=camvid,backbone=resnet/18'. The name of the first
      default may be left out: 'camvid'. A value may have commas in parentheses:
      'backbone=resnet/18(output_stride=8, multi_grid=(1, 2))'.
    **defaults: {name: default value} of all arguments, strings or booleans.

  Returns:
    A namespace with the values.
  """
  values = dict(defaults)
  for part in filter(None, _split(arg)):
    name, _, value = part.rpartition('=')
    if '(' in name:  # The last '=' belongs to an option in parentheses.
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
    values['small'] = True  # `shapes` has a recipe in `SMALL` only.
  return types.SimpleNamespace(**values)


def _split(arg):
  """Splits a string at the commas that are not in parentheses."""
  parts, depth = [''], 0
  for letter in arg:
    depth += (letter == '(') - (letter == ')')
    if letter == ',' and depth <= 0:
      parts.append('')
    else:
      parts[-1] += letter
  return parts


def backbone(text, **options):
  """Adds options to the string of a backbone unless it has them already.

  With output_stride=16, 'resnet/18' becomes 'resnet/18(output_stride=16)', and
  'resnet/18(output_stride=8)' stays.

  Args:
    text: a string such as 'resnet/18' or 'resnet/18(multi_grid=(1, 2))'.
    **options: options of the backbone with their values.
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


def found(path):
  """Returns the fields of a model that `segjax.tools.genotype` has written.

  Args:
    path: of the JSON file.
  """
  fields = _read(path, 'segjax.tools.genotype')
  return {name: _tuples(value) for name, value in fields.items()}


def table(path):
  """Returns the latencies that `segjax.tools.latency` has written, as pairs.

  Args:
    path: of the JSON file.
  """
  return tuple(_read(path, 'segjax.tools.latency').items())


def _read(path, tool):
  """Returns the content of a JSON file that a tool writes."""
  file = pathlib.Path(path)
  if not file.is_file():
    raise ValueError(f'There is no file {path}: write it by python -m {tool}.')
  return json.loads(file.read_text())


def _tuples(value):
  """Returns lists within lists as tuples."""
  return tuple(map(_tuples, value)) if isinstance(value, list) else value


def caffe_sgd(config, base, schedule, *, new='', frozen=''):
  """Sets SGD as Caffe's networks use it.

  Biases have twice the learning rate and no weight decay.

  Args:
    config: the config to change.
    base: learning rate.
    schedule: schedule of the learning rate.
    new: regular expression of parameters with ten times the learning rate; ''
      for none.
    frozen: regular expression of parameters that are not trained; '' for none.
  """
  factors = ((frozen, 0.0),) if frozen else ()
  if new:
    factors += ((f'{new}.*kernel', 10.0), (f'{new}.*bias', 20.0))
  config.optim.factors = (*factors, ('bias$', 2.0))
  config.optim.decay_on = 'kernel$'
  config.lr.base = base
  config.lr.schedule = schedule


# The recipe of GeorgeSeif's Semantic-Segmentation-Suite for its networks, with
# crops half as large, as images are; see `rmsprop_of_suite`.
SUITE_CAMVID = dict(
    train='random_crop(256)|flip|normalize(0.0, 255.0)',
    eval='normalize(0.0, 255.0)',
    class_weights='',
    steps=110_000,
    batch=1,
)


def rmsprop_of_suite(config):
  """Sets RMSprop as GeorgeSeif's Suite does, without a schedule."""
  config.optim.optimizer = 'rmsprop(decay=0.995, eps=1e-10, initial=1.0)'
  config.optim.weight_decay = 0.0
  config.lr.base = 1e-4
  config.lr.schedule = 'constant'


# The recipes of zhanghang1989's PyTorch-Encoding, in which several systems were
# trained; see `sgd_of_encoding`. The learning rate is for 16 images.
_ENCODING = (
    "resize(520, mode='short')|random_scale(0.5, 2.0)"
    '|random_crop(480, cat_max_ratio=1.0)|flip|blur|normalize'
)
ENCODING = {
    'pascal_context': dict(train=_ENCODING, steps=25_000, batch=16, lr=1e-3),
    'ade20k': dict(train=_ENCODING, steps=227_000, batch=16, lr=4e-3),
}


def sgd_of_encoding(config, rate):
  """Sets SGD as PyTorch-Encoding uses it on pretrained backbones.

  Args:
    config: the config to change.
    rate: learning rate of the backbone; the rest has ten times it.
  """
  config.optim.weight_decay = 1e-4
  config.optim.factors = (('^(?!backbone/)', 10.0),)
  config.lr.base = rate
  config.lr.schedule = 'poly(power=0.9)'


def ade20k_of_csail(config, steps):
  """Sets the recipe of CSAIL's code for ADE20K: whole images of five sizes.

  Its two optimisers, of backbone and head, are alike, so one does. Theirs pads
  a batch to its largest image; here all batches have the same size.
  """
  sides = (300, 375, 450, 525, 600)
  config.preprocess.train = (
      f'random_short({sides}, 1000)|random_crop(1000, cat_max_ratio=1.0)|flip'
      '|normalize'
  )
  config.preprocess.eval = 'normalize'
  config.predict.short_sides = sides
  config.predict.longest = 1000
  config.total_steps = steps
  config.batch_size = 16
  config.optim.weight_decay = 1e-4
  config.optim.decay_on = 'kernel$'
  config.lr.base = 0.02
  config.lr.schedule = 'poly(power=0.9)'
  config.eval_every = config.checkpoint_every = steps // 10


def choose(name, value, known):
  """Returns `known[value]`; a ValueError names the argument `name`."""
  if value not in known:
    raise ValueError(f'{name} is one of {", ".join(known)}, not {value!r}.')
  return known[value]


def camvid_of_segnet(config, *, steps, batch, lr):
  """Sets the recipe of SegNet's authors for CamVid: whole images, 0 to 255."""
  config.preprocess.train = 'random_crop(360, 480)|flip|normalize(0.0, 1.0)'
  config.preprocess.eval = 'normalize(0.0, 1.0)'
  config.class_weights = 'median_frequency'
  config.total_steps = steps
  config.batch_size = batch
  config.precise_norms = 367 // batch  # All images once, as the authors do.
  config.lr.base = lr
  config.lr.schedule = 'constant'
  config.optim.decay_on = 'kernel|scale'
  config.eval_every = config.checkpoint_every = steps // 10


def binary(config):
  """Sets the binary task, with a sigmoid, and Adam without weight decay."""
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
    small: whether to take the recipe of `SMALL`.
    **changes: entries of the recipe to replace.
  """
  recipes = SMALL if small else DATASETS
  if dataset not in recipes:
    raise ValueError(
        f'There is no {"small " * small}recipe for the data set {dataset!r}.'
        f' Known: {", ".join(recipes)}.'
    )
  recipe = {**recipes[dataset], **changes}
  config = ml_collections.ConfigDict()
  config.task = 'semantic'  # A file of segjax/tasks, with its options.
  config.seed = 0

  config.dataset = ml_collections.ConfigDict()
  config.dataset.name = dataset
  config.dataset.train_split = recipe.get('train_split', 'train')
  config.dataset.eval_split = recipe.get('eval_split', 'val')
  # Cross-validation: '2/5' divides the training split into five folds by the
  # seed, each with about as many examples of every class, holds out the second
  # one for evaluation, in the place of `eval_split`, and trains on the others.
  config.dataset.fold = ''
  # Sets of the same classes to train on together, in the place of `data_dir`,
  # and how often each is drawn: (('mydata', 3.0), ('more', 1.0)). They are
  # folders of data set `name`, or of another: 'folder:more'. Those that have
  # `eval_split` are evaluated, together and each apart.
  config.dataset.mix = ()
  # Options that only this data set has.
  config.dataset.options = ml_collections.ConfigDict(recipe.get('options', {}))
  # Share of the training examples that are taken for a class that they show,
  # each class alike, with the crop over it; see segjax/data/class_uniform.py.
  config.dataset.class_uniform = 0.0
  # Whether the turns of `config.optim.groups` are trained on parts of the
  # training examples, as many as turns, that the seed draws.
  config.dataset.by_turn = False
  config.data_dir = ''  # '' takes the environment variable SEGJAX_DATA_DIR.
  # What to do with an unreadable example: 'raise', or 'skip' to replace it by
  # another one and count it.
  config.on_bad_example = 'raise'
  config.threads = 2  # Threads that read and transform examples.
  # Seconds to wait for an example before the run fails; 0 waits for ever.
  config.loader_timeout = 600.0
  # Gigabytes of memory on each host that cache decoded training examples.
  config.decoded_gb = 1.0

  # Ops of segjax/data/transforms. The ops of `eval` do not change the label,
  # since scores are computed at its original size.
  config.preprocess = ml_collections.ConfigDict()
  config.preprocess.train = recipe['train']
  config.preprocess.eval = recipe.get('eval', 'normalize')

  # The workdir of a run or of segjax.convert whose weights training starts
  # with, or a name such as 'torchvision:resnet50-11ad3fa6', which `python -m
  # segjax.convert --list` shows; '' starts with random weights. Variables that
  # do not fit are initialised at random, and logged.
  config.init_from = ''
  # Regular expression of the names of variables to take; '' takes all.
  config.init_only = ''

  config.total_steps = recipe['steps']
  config.batch_size = recipe['batch']  # Images of a step on all devices.
  config.parallel = 'pmap'  # 'pmap', or 'jit' over `config.mesh`.
  # (data, rows): the batch is divided over `data` groups of devices, -1 for as
  # many as there are. Each image is divided by rows over the `rows` devices of
  # a group, for images that are too large for one device. `rows` is 1 with
  # 'pmap'.
  config.mesh = (-1, 1)
  # Whether parameters and optimiser state are divided over all devices, as in
  # ZeRO and FSDP; False with 'pmap'.
  config.shard_state = False
  # Whether activations are computed again in the backward pass to save memory,
  # see segjax/layers/remat.py.
  config.remat = False
  config.dtype = 'float32'  # Type of activations; or 'bfloat16'.

  config.loss = 'cross_entropy'  # A sum of calls of segjax/losses.
  config.aux_loss = ''  # The same of auxiliary heads; '' takes `loss`.
  # Factor of the loss of each auxiliary head, or {name: factor}; a config gives
  # the latter to `base`, since a number cannot become a dict later.
  config.aux_weight = recipe.get('aux_weight', 0.4)
  # Keyword arguments of the loss that a model file adds, if it adds one.
  config.system_loss = ml_collections.ConfigDict()
  # Weights of classes in the loss: '' for none, numbers ('1.0, 2.5'), or a rule
  # of segjax/data/statistics.py: 'auto', 'inverse_log(offset=1.1)',
  # 'median_frequency'.
  config.class_weights = recipe.get('class_weights', '')

  config.optim = ml_collections.ConfigDict()
  config.optim.optimizer = 'sgd(momentum=0.9)'  # See segjax/optim.py.
  config.optim.weight_decay = 5e-4
  # Regular expression of the names of parameters with weight decay. 'kernel$'
  # spares norms, biases, tables of positions, tokens and layer scale.
  config.optim.decay_on = '.*'
  # Factors on the learning rate by parameter name, ((regular expression,
  # factor), ...), such as (('classifier', 10.0),). Factor 0.0 freezes the
  # parameters; a frozen norm also keeps its running statistics, and normalises
  # by them.
  config.optim.factors = ()
  # How the learning rate falls from the last layer of a backbone to the first:
  # '' is not at all, 'layers(decay=0.8)' block by block, 'stages(decay=0.9)'
  # stage by stage; see `layer_factors` in segjax/optim.py.
  config.optim.layer_decay = ''
  config.optim.clip = 0.0  # Largest norm of the gradient; 0 does not clip.
  # Number of parts of a batch whose gradients are computed one after another.
  # Means weigh the parts by what they count. What is no mean, such as the Dice
  # coefficient of a batch or the hardest pixels, is that of each part.
  config.optim.accumulate = 1
  # Decay of the moving average of parameters; 0 computes none.
  config.optim.ema = 0.0
  # Groups of parameters with optimisers of their own, {'NAME':
  # dict(names='REGEX', ...)}, see `Group` in segjax/optim.py; empty has one
  # optimiser for all.
  config.optim.groups = ml_collections.ConfigDict()
  config.lr = ml_collections.ConfigDict()
  config.lr.base = 0.01
  config.lr.schedule = 'poly(power=0.9, floor=1e-4)'
  config.lr.warmup_steps = 0
  # Share of the learning rate that warm-up begins with; 0.0 begins with
  # 1 / `warmup_steps`.
  config.lr.warmup_from = 0.0
  # Number of batches whose statistics batch norms get before each evaluation,
  # in the place of moving averages; 0 keeps these. Checkpoints have them, too.
  config.precise_norms = 0
  # Steps in a row with a gradient that is not finite before the run fails.
  config.max_bad_steps = 10

  # Options of prediction, explained in segjax/inference/views.py.
  config.predict = ml_collections.ConfigDict()
  config.predict.mode = 'whole'  # 'whole' or 'slide'.
  config.predict.window = (512, 512)
  config.predict.stride = (341, 341)
  config.predict.weights = 'flat'  # 'flat' or 'hann'.
  config.predict.scales = (1.0,)
  # In the place of scales: lengths of the shorter side, and the most pixels of
  # the longer one; () and 0 for none.
  config.predict.short_sides = ()
  config.predict.longest = 0
  config.predict.flip = recipe.get('flip', False)
  # With two classes, the second one is chosen where its probability is above
  # this.
  config.predict.threshold = 0.5
  # Temperature of the probabilities, which makes them surer below 1 and less
  # sure above; 0.0 takes what segjax.tools.calibrate found, else 1.
  config.predict.temperature = 0.0
  # Refinement of the probabilities: a file of segjax/refine with its options,
  # as 'dense_crf(gaussian=(3.0, 1.0), bilateral=(4.0, 67.0, 3.0),
  # iterations=10)'; '' for none.
  config.predict.refine = ''
  # Number of windows in a batch on each device.
  config.predict.batch_size = recipe.get('predict_batch', 1)
  # Sides grow to a multiple of this by zeros, which are cut off afterwards:
  # fewer shapes to compile. Scores change a little near the border and, of a
  # model that averages over the whole image, everywhere.
  config.predict.pad_to = 1
  # How scores count classes that do not occur: 'skip', 'zero' or 'truth'.
  config.absent = 'skip'

  if small:  # AdamW trains from random weights in few steps.
    config.optim.optimizer = 'adamw'
    config.optim.weight_decay = 0.05
    config.lr.base = recipe.get('lr', 1e-3)
    config.lr.schedule = 'cosine'
    config.lr.warmup_steps = config.total_steps // 20

  config.log_every = 50
  config.eval_every = config.total_steps // (2 if small else 10)
  config.checkpoint_every = config.total_steps // 10
  config.keep = 2  # Number of newest checkpoints to keep, beside the best.
  config.num_pictures = 4
  config.profile = False
  return config
