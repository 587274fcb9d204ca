"""What a config stands for: data sets, the model, and functions of both.

Training, evaluation, prediction and the doctor all build from here, so they
cannot disagree.
"""

import dataclasses
import functools
import importlib
import pkgutil

from absl import logging
import numpy as np

from segjax import calls
from segjax import losses
from segjax import models
from segjax import optim
from segjax import parallel
from segjax import steps
from segjax import tasks
from segjax.data import datasets
from segjax.data import pipeline
from segjax.data import statistics
from segjax.data import transforms
from segjax.inference import Inference

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


def task(config):
  """Returns the module of the configured task."""
  known = [module.name for module in pkgutil.iter_modules(tasks.__path__)]
  if config.task not in known:
    raise ValueError(
        f'There is no task {config.task!r}. Known: {", ".join(known)}.'
    )
  return importlib.import_module(f'{tasks.__name__}.{config.task}')


def model(config, num_classes):
  """Returns the configured model."""
  if config.dtype not in DTYPES:
    raise ValueError(f'config.dtype={config.dtype!r} is not one of {DTYPES}.')
  if config.parallel not in parallel.MODES:
    raise ValueError(
        f'config.parallel={config.parallel!r} is not one of {parallel.MODES}.'
    )
  return models.create(config.model_name, num_classes, **config.model)


def inference(config):
  """Returns the options of prediction, with a batch for all local devices."""
  options = Inference(**config.predict)
  return dataclasses.replace(
      options, batch_size=options.batch_size * parallel.count(local=True)
  )


def make_forward(config, num_classes):
  """Returns the compiled `forward(variables, images) -> logits`."""
  system = model(config, num_classes)
  predict = task(config).predict

  def forward(variables, images):
    out, _ = steps.forward(system, variables, images, dtype=config.dtype)
    return predict(out)

  return parallel.compile_forward(forward, config.parallel)


@dataclasses.dataclass(frozen=True)
class Training:
  """What the loop needs, from `training`."""

  dataset: datasets.Dataset
  batches: object  # `batches(first_step)` is an iterator.
  learning_rate: object  # Function of the step.
  step: object  # `step(state, batch) -> (state, scalars)`, not compiled.
  init: object  # `init()` returns the first state.
  batch_shape: tuple[int, int, int, int]  # Of the images of a global batch.


def training(config):
  """Builds everything that training needs; reads one image."""
  for name in POSITIVE:
    if config[name] < 1:
      raise ValueError(f'config.{name}={config[name]} must be at least 1.')
  parallel.check_batch_size(config.batch_size, 'config.batch_size')
  local_batch = config.batch_size // parallel.count()
  if config.optim.accumulate < 1 or local_batch % config.optim.accumulate:
    raise ValueError(
        f'config.optim.accumulate={config.optim.accumulate} must divide the'
        f' {local_batch} images of a device.'
    )
  train_set = dataset(config, config.dataset.train_split)
  num_classes = train_set.label_map.num_classes
  system = model(config, num_classes)
  objective = losses.build(config.loss, class_weights(config, train_set))
  learning_rate = optim.schedule(config.lr, config.total_steps)
  tx = optim.create(config.optim, learning_rate)
  size = transforms.static_size(transforms.parse(config.preprocess.train))
  batch_shape = (config.batch_size, *size, train_set.channels)

  step = steps.make_train_step(
      system,
      functools.partial(
          task(config).loss, objective=objective, aux_weight=config.aux_weight
      ),
      tx,
      seed=config.seed,
      dtype=config.dtype,
      learning_rate=learning_rate,
      accumulate=config.optim.accumulate,
      ema=config.optim.ema,
      max_bad_steps=config.max_bad_steps,
      frozen=lambda name: optim.factor(config.optim, name) == 0,
  )

  def init():
    variables = steps.init_variables(system, config.seed, batch_shape)
    return steps.init_state(variables, tx, ema=config.optim.ema > 0)

  def batches(first_step):
    return pipeline.train_batches(
        train_set,
        config.preprocess.train,
        batch_size=config.batch_size,
        seed=config.seed,
        first_step=first_step,
        num_hosts=parallel.num_hosts(),
        host=parallel.host(),
        threads=config.threads,
        on_bad_example=config.on_bad_example,
    )

  return Training(train_set, batches, learning_rate, step, init, batch_shape)


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
    name, kwargs = calls.parse(
        text, rules, 'rule for class weights', given=('counts',)
    )
    counts = parallel.from_first(
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
