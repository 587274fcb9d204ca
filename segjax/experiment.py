"""What a config stands for: data sets, the model, and functions of both.

Training, evaluation, prediction and the doctor all build from here, so they
cannot disagree.
"""

import dataclasses
import functools
import importlib
import pkgutil

from absl import logging
import jax
import jax.numpy as jnp
import numpy as np

from segjax import losses
from segjax import models
from segjax import optim
from segjax import parallel
from segjax import specs
from segjax import steps
from segjax import tasks
from segjax.data import cache
from segjax.data import datasets
from segjax.data import pipeline
from segjax.data import statistics
from segjax.data import timeout
from segjax.data import transforms
from segjax.inference import Inference
from segjax.runtime import hosts

DTYPES = ('float32', 'bfloat16')
POSITIVE = (
    *('total_steps', 'log_every', 'eval_every', 'checkpoint_every'),
    *('keep', 'threads', 'max_bad_steps'),
)


def dataset(config, split):
  """Returns a split of the configured data set."""
  return datasets.load(
      config.dataset.name, split, config.data_dir, **config.dataset.options
  )


def in_time(config, found):
  """Returns a data set whose examples come in time, or raise TimeoutError."""
  # A workdir may be older than this field.
  seconds = config.get('loader_timeout', 600.0)
  return timeout.WithTimeout(found, seconds, max(config.threads, 1))


def check_inputs(config, found):
  """Raises ValueError if examples of a data set lack what the model reads."""
  wanted = steps.inputs(model(config, found.label_map.num_classes))
  if 'regions' in wanted and not found.proposals:
    raise ValueError(
        f'{config.model_name} reads regions, and the examples of'
        f' {config.dataset.name} have none. Say how many there are:'
        ' --config.dataset.options.proposals=16. Where they lie is told in'
        ' segjax/data/datasets/README.md.'
    )


def task(config):
  """Returns the module of the configured task, and the options of its loss.

  Raises:
    ValueError: there is no such task, or it has no such option.
  """
  known = {
      module.name: importlib.import_module(f'{tasks.__name__}.{module.name}')
      for module in pkgutil.iter_modules(tasks.__path__)
  }
  name, options = specs.parse(
      config.task,
      {name: module.loss for name, module in known.items()},
      'task',
      given=('out', 'batch', 'objective', 'aux_weight'),
  )
  return known[name], options


def layout(config):
  """Returns how batches and the state lie on the devices."""
  return parallel.Layout(
      config.parallel,
      # A workdir may be older than these fields.
      config.get('mesh', parallel.Layout.mesh),
      config.get('shard_state', parallel.Layout.shard_state),
  )


def model(config, num_classes):
  """Returns the configured model, for a data set of `num_classes`."""
  if config.dtype not in DTYPES:
    raise ValueError(f'config.dtype={config.dtype!r} is not one of {DTYPES}.')
  layout(config)
  kind, _ = task(config)
  channels = kind.channels(num_classes)
  return models.create(config.model_name, channels, **config.model)


def inference(config, num_classes):
  """Returns the options of prediction, with a batch for all local devices."""
  options = Inference(**config.predict)
  if options.threshold != 0.5 and num_classes != 2:
    raise ValueError(
        f'config.predict.threshold={options.threshold} is for two classes, and'
        f' the data set has {num_classes}: leave it at 0.5.'
    )
  return dataclasses.replace(
      options,
      batch_size=options.batch_size * layout(config).groups(local=True),
      halo=models.halo(model(config, num_classes)),
  )


def sampler(config):
  """Returns `predict` of the configured system if it samples, else None."""
  return getattr(models.module(config.model_name), 'predict', None)


def make_forward(config, num_classes, channels, *, variance=False):
  """Returns the compiled `forward(variables, images) -> logits`.

  Args:
    config: the run's.
    num_classes: of the data set.
    channels: of an image; those behind them are regions.
    variance: of a system that samples, whether the variance of each class's
      probability follows the logits, in as many channels more.

  Raises:
    ValueError: the model reads what only training has.
  """
  system = model(config, num_classes)
  if more := set(steps.inputs(system)) - {'image', 'regions'}:
    raise ValueError(
        f'{config.model_name} with these fields reads {", ".join(more)}, which'
        ' examples have in training alone. Call the model itself, or change'
        ' config.model.'
    )
  kind, _ = task(config)
  sample = sampler(config)

  def forward(variables, images):
    def logits(images, rng=None):
      batch = {
          'image': images[..., :channels],
          # A view may be scaled, and regions with it.
          'regions': images[..., channels:] > 0.5,
      }
      out, _ = steps.forward(
          system, variables, batch, dtype=config.dtype, rng=rng
      )
      return kind.predict(out)

    if not sample:
      return logits(images)
    key = jax.random.key(config.seed)
    mean, spread = sample(system, logits, images, key)
    return jnp.concatenate([mean, spread], -1) if variance else mean

  return layout(config).compile_forward(forward)


@dataclasses.dataclass(frozen=True)
class Training:
  """What the loop needs, from `training`."""

  dataset: datasets.Dataset
  batches: object  # `batches(first_step)` is an iterator.
  learning_rate: object  # Function of the step.
  layout: parallel.Layout
  step: object  # `step(state, batch) -> (state, scalars)`, not compiled.
  init: object  # `init()` returns the first state.
  batch: dict[str, jax.ShapeDtypeStruct]  # A global one.


def training(config):
  """Builds everything that training needs; reads one image."""
  for name in POSITIVE:
    if config[name] < 1:
      raise ValueError(f'config.{name}={config[name]} must be at least 1.')
  devices = layout(config)
  devices.check(config.batch_size)
  local_batch = config.batch_size // devices.groups()
  if config.optim.accumulate < 1 or local_batch % config.optim.accumulate:
    raise ValueError(
        f'config.optim.accumulate={config.optim.accumulate} must divide the'
        f' {local_batch} images of a device.'
    )
  train_set = dataset(config, config.dataset.train_split)
  check_inputs(config, train_set)
  num_classes = train_set.label_map.num_classes
  system = model(config, num_classes)
  objective = losses.build(config.loss, class_weights(config, train_set))
  learning_rate = optim.schedule(config.total_steps, **config.lr)
  tx = optim.create(
      learning_rate,
      optimizer=config.optim.optimizer,
      weight_decay=config.optim.weight_decay,
      decay_on=config.optim.decay_on,
      factors=config.optim.factors,
      clip=config.optim.clip,
      groups=config.optim.get('groups'),  # A workdir may be older.
      total_steps=config.total_steps,
  )
  kind, options = task(config)
  batch = batch_shapes(config, train_set, models.halo(system))
  for shape in (batch['image'].shape, batch['label'].shape):
    devices.check_height(shape[1])

  step = steps.make_train_step(
      system,
      functools.partial(
          kind.loss,
          objective=objective,
          aux_weight=config.aux_weight,
          **options,
      ),
      tx,
      seed=config.seed,
      dtype=config.dtype,
      learning_rate=learning_rate,
      accumulate=config.optim.accumulate,
      ema=config.optim.ema,
      max_bad_steps=config.max_bad_steps,
      remat=config.get('remat', False),  # A workdir may be older.
      frozen=lambda name: optim.factor(config.optim.factors, name) == 0,
  )

  def init():
    shape = batch['image'].shape
    variables = steps.init_variables(system, config.seed, shape)
    return steps.init_state(variables, tx, ema=config.optim.ema > 0)

  examples = cache.Cached(in_time(config, train_set), config.decoded_gb)

  def batches(first_step):
    return pipeline.train_batches(
        examples,
        config.preprocess.train,
        batch_size=config.batch_size,
        seed=config.seed,
        first_step=first_step,
        num_hosts=hosts.count(),
        host=hosts.index(),
        threads=config.threads,
        on_bad_example=config.on_bad_example,
    )

  return Training(train_set, batches, learning_rate, devices, step, init, batch)


def batch_shapes(config, train_set, halo):
  """Returns the shapes of a global batch; see `pipeline.train_batches`.

  Args:
    config: the run's.
    train_set: the data set.
    halo: of the model. The crops must have the same.
  """
  ops = transforms.parse(config.preprocess.train)
  height, width = transforms.static_size(ops)
  crop_halo = transforms.halo(ops)
  if crop_halo != halo:
    raise ValueError(
        f'The model {config.model_name} loses {halo} pixels on each side, and'
        f' config.preprocess.train gives its crops a halo of {crop_halo}: write'
        f' random_crop({height}, {width}, halo={halo}) there, or the like'
        ' for another crop.'
    )
  count, regions = config.batch_size, train_set.proposals
  label = count, height, width
  sides = count, height + 2 * crop_halo, width + 2 * crop_halo
  shapes = {
      'image': jax.ShapeDtypeStruct((*sides, train_set.channels), np.float32),
      'label': jax.ShapeDtypeStruct(label, np.uint8),
  }
  if transforms.has_weights(ops):
    shapes['weight'] = jax.ShapeDtypeStruct(label, np.float32)
  if regions:
    shapes |= {
        'regions': jax.ShapeDtypeStruct((*label, regions), np.uint8),
        'categories': jax.ShapeDtypeStruct((count, regions), np.uint8),
        'overlaps': jax.ShapeDtypeStruct((count, regions), np.float32),
    }
  return shapes


def class_weights(config, train_set):
  """Returns the weights of the classes in the loss, [K], or None.

  `config.class_weights` is '', numbers with commas between, or a rule:
  'median_frequency', 'inverse_log(offset=1.1)', or 'auto', which is
  'inverse_log'. The rules read every mask of the training split once.
  """
  label_map = train_set.label_map
  text = config.class_weights
  if not text:
    return None
  try:
    weights = np.array([float(word) for word in text.split(',')])
  except ValueError:
    rules = {
        'auto': statistics.inverse_log,
        'inverse_log': statistics.inverse_log,
        'median_frequency': statistics.median_frequency,
    }
    name, kwargs = specs.parse(
        text, rules, 'rule for class weights', given=('counts',)
    )
    counts = hosts.from_first(
        lambda: statistics.class_counts(
            train_set, on_bad_example=config.on_bad_example
        )
    )
    weights = rules[name](counts, **kwargs)
  good = np.isfinite(weights).all() and weights.min() >= 0 and weights.any()
  if len(weights) != label_map.num_classes or not good:
    raise ValueError(
        f'config.class_weights is {weights}; wanted are'
        f' {label_map.num_classes} numbers, none negative and not all 0.'
    )
  for name, weight in zip(label_map.names, weights, strict=True):
    logging.info('Class weight %8.3f  %s', weight, name)
  return weights.astype(np.float32)
