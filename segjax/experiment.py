"""What a config stands for: data sets, the system, and what programs do.

This is the last module that sees a config. Training, evaluation, prediction,
the doctor and the other programs build from here, and what they are given are
a `System` and plain values, so they cannot disagree.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import functools
import math
import types
from typing import Any

from flax import linen as nn
import jax
import ml_collections
import numpy as np

from segjax import backbones
from segjax import models
from segjax import optim
from segjax import parallel
from segjax import steps
from segjax import system as systems
from segjax import tasks
from segjax.data import cache
from segjax.data import class_uniform
from segjax.data import class_weights
from segjax.data import datasets
from segjax.data import fields
from segjax.data import mixture
from segjax.data import pipeline
from segjax.data import timeout
from segjax.data import transforms
from segjax.data.image import BadExample
from segjax.data.label_map import LabelMap
from segjax.data.mixture import Mixed
from segjax.data.splits import Splits
from segjax.data.values import Values
from segjax.inference import whole
from segjax.inference.views import Inference
from segjax.runtime import hosts
from segjax.system import System

Config = ml_collections.ConfigDict
POSITIVE = (
    *('total_steps', 'log_every', 'eval_every', 'checkpoint_every'),
    *('keep', 'threads', 'max_bad_steps'),
)

EVAL_SAMPLE = 16  # Examples of the evaluated split that are read beforehand.


def dataset(config: Config, split: str) -> datasets.Dataset:
  """Returns a split of the configured data set, or of those that are mixed."""
  return _splits(config).load(split)


def train_dataset(config: Config) -> datasets.Dataset:
  """Returns what is trained on: a split, without the fold that is held out."""
  return _splits(config).load_train()


def eval_dataset(config: Config) -> datasets.Dataset:
  """Returns what is evaluated: a split, or the fold that is held out."""
  return _splits(config).load_eval()


def eval_split(config: Config) -> str:
  """Returns the name of what is evaluated, 'val' or 'train-2-of-5'."""
  return _splits(config).eval_name


def _splits(config):
  """Returns the `Splits` of a run."""
  given = config.dataset
  options = given.options.to_dict()
  if given.mix:
    sources = mixture.parse(given.mix, given.name, options)
  else:
    sources = {'': mixture.Source(given.name, config.data_dir, options)}
  return Splits(
      sources,
      mixed=bool(given.mix),
      train_split=given.train_split,
      eval_split=given.eval_split,
      fold=given.fold,
      seed=config.seed,
      on_bad_example=config.on_bad_example,
  )


def layout(config: Config) -> parallel.Layout:
  """Returns how batches and the state lie on the devices."""
  return parallel.Layout(config.parallel, config.mesh, config.shard_state)


def task(config: Config) -> types.ModuleType:
  """Returns the module of the configured task."""
  return tasks.build(config.task)[0]


def model(config: Config, label_map: LabelMap) -> nn.Module:
  """Returns the configured model, for the classes of a data set."""
  channels = task(config).channels(label_map)
  return models.create(config.model_name, channels, **config.model)


def system(
    config: Config, label_map: LabelMap, class_weights: np.ndarray | None = None
) -> System:
  """Returns the configured system, for the classes of a data set.

  Args:
    config: of the run.
    label_map: classes of the data set.
    class_weights: [K], of the loss in training.
  """
  aux = config.aux_weight
  return systems.build(
      config.model_name,
      model(config, label_map),
      label_map,
      task=config.task,
      loss=config.loss,
      aux_loss=config.aux_loss,
      class_weights=class_weights,
      aux=aux.to_dict() if isinstance(aux, Config) else aux,
      system_loss=config.system_loss.to_dict(),
      dtype=config.dtype,
  )


def inference(
    config: Config, system: System, temperature: float = 1.0
) -> Inference:
  """Returns the options of prediction, with a batch for all local devices.

  Args:
    config: of the run.
    system: of the run.
    temperature: of the probabilities, where the config leaves it at 0.
  """
  given = config.predict.to_dict()
  options = Inference(
      **given | {'temperature': given['temperature'] or temperature}
  )
  num_classes = system.label_map.num_classes
  overlapping = system.label_map.overlapping
  if options.threshold != 0.5 and num_classes != 2 and not overlapping:
    raise ValueError(
        f'config.predict.threshold={options.threshold} is for two classes, or'
        f' such as overlap, and the data set has {num_classes}: leave it at'
        ' 0.5.'
    )
  return dataclasses.replace(
      options,
      batch_size=options.batch_size * layout(config).groups(local=True),
      reads=system.reads,
      halo=system.halo,
      overlapping=overlapping,
  )


def forward(config: Config, system: System) -> Callable:
  """Returns the compiled `forward(variables, batch)`.

  It returns what the task predicts, {name: [B, ...]}, of a batch, {field:
  [B, ...]} of the fields that the model reads.

  Raises:
    ValueError: the model reads what only training has.
  """
  if more := [name for name in system.reads if name in system.task.TRUTH]:
    raise ValueError(
        f'{system.name} with these fields reads {", ".join(more)}, which'
        ' examples have in training alone. Call the model itself, or change'
        ' config.model.'
    )
  seed = config.seed

  def predict(variables, batch):
    def apply(batch, key):
      out, _ = system.apply(variables, batch, rng=key)
      return out

    return system.predict(apply, batch, jax.random.key(seed))

  return layout(config).compile_forward(predict)


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """A split, and how predictions of its examples are scored.

  Attributes:
    task: the module of the task.
    label_map: the classes.
    dataset: the split.
    examples: function that returns an iterator over this host's examples.
    absent: convention for classes that do not occur.
    num_pictures: examples to draw.
  """

  task: types.ModuleType
  label_map: LabelMap
  dataset: datasets.Dataset
  examples: Callable[[], Iterator[dict]]
  absent: str
  num_pictures: int

  def scores(self) -> Any:
    """Returns empty scores of the task."""
    return self.task.scores(self.label_map, absent=self.absent)


@dataclasses.dataclass(frozen=True)
class ModelEvaluation(Evaluation):
  """The same, and the model that predicts.

  Attributes:
    predictor: `predictor(variables)` is a function from an iterable of examples
      to an iterator over (example, prediction).
  """

  predictor: Callable[[Any], Callable[[Iterable[dict]], Iterator]]


def evaluation(
    config: Config,
    system: System,
    dataset: datasets.Dataset,
    values: Values | None = None,
    temperature: float = 1.0,
) -> ModelEvaluation:
  """Builds everything that an evaluation of a split needs; reads one example.

  Whatever the config says of it is checked here: a mistake must not show at the
  first evaluation, after hours of training.

  Args:
    config: of the run.
    system: what is evaluated.
    dataset: the split.
    values: type and range of the images that the model is trained on, if known.
    temperature: see `inference`.
  """
  system.task.scores(system.label_map, absent=config.absent)
  examples = eval_examples(config, dataset)
  first = next(examples(), None)
  if first is not None:  # A host may have none.
    fields.check(system.reads, first, config.model_name)
  return ModelEvaluation(
      task=system.task,
      label_map=system.label_map,
      dataset=dataset,
      examples=examples,
      absent=config.absent,
      num_pictures=config.num_pictures,
      predictor=_predictor(config, system, values, temperature),
  )


def evaluation_of_images(
    config: Config, task: types.ModuleType, dataset: datasets.Dataset
) -> Evaluation:
  """Returns how predictions are scored whose images are not preprocessed.

  Args:
    config: of the run.
    task: what predicts them has this task.
    dataset: the split.
  """
  return Evaluation(
      task=task,
      label_map=dataset.label_map,
      dataset=dataset,
      examples=eval_examples(config, dataset, preprocessed=False),
      absent=config.absent,
      num_pictures=0,
  )


def _predictor(config, system, values, temperature):
  """Returns `predictor(variables)`, see `ModelEvaluation`."""
  compiled = forward(config, system)
  options = inference(config, system, temperature)

  def checked(examples):
    for example in examples:
      if values:
        values.check(example['raw'], example['name'])
      yield example

  def predictor(variables):
    variables = parallel.local(variables)
    return lambda examples: whole.predict_by_task(
        system.task,
        lambda batch: compiled(variables, batch),
        checked(examples),
        options,
    )

  return predictor


def check_eval_sample(
    config: Config, train_set: datasets.Dataset, eval_set: datasets.Dataset
) -> None:
  """Reads a few examples of the split that is evaluated, before the first step.

  A damaged file, an id without a class, or an image unlike those of training
  must not show at the first evaluation only, after hours.

  Args:
    config: of the run.
    train_set: what is trained on.
    eval_set: what is evaluated.

  Raises:
    ValueError: examples cannot be used; names their files.
  """
  read = in_time(config, eval_set)
  problems = []
  shared = min(len(eval_set), EVAL_SAMPLE)
  for place in range(shared):
    index = place * len(eval_set) // shared
    try:
      read[index]
    except BadExample as error:
      problems.append(str(error))
  if not problems and eval_set.channels != train_set.channels:
    problems.append(
        f'{eval_set.where(0)}: the images have {eval_set.channels} channels,'
        f' and those of {train_set.split!r}, which is trained on,'
        f' {train_set.channels}'
    )
  if problems:
    raise ValueError(
        '\n'.join(problems)
        + f'\nThe split {eval_set.split!r}, of which {shared} examples were'
        ' tried, could not be evaluated. Mend or remove these; python -m'
        ' segjax.doctor reads all of them.'
    )


def about(config: Config, label_map: LabelMap) -> dict[str, str]:
  """Returns what a score is of and how it was counted, texts by name."""
  scores = task(config).scores(label_map, absent=config.absent)
  return {
      'dataset': config.dataset.name,
      'split': eval_split(config),
      **scores.conventions(),
  }


def eval_examples(
    config: Config,
    dataset: datasets.Dataset,
    *,
    num_hosts: int = 0,
    host: int | None = None,
    preprocessed: bool = True,
) -> Callable[[], Iterator[dict]]:
  """Returns a function that begins to read the examples of a split.

  Args:
    config: of the run.
    dataset: the split.
    num_hosts: among how many the examples are divided; 0 for all there are.
    host: which of these it is; by default this one.
    preprocessed: see `pipeline.eval_examples`.
  """
  read = in_time(config, dataset)

  def examples():
    return pipeline.eval_examples(
        read,
        config.preprocess.eval,
        num_hosts=num_hosts or hosts.count(),
        host=hosts.index() if host is None else host,
        threads=config.threads,
        preprocessed=preprocessed,
    )

  return examples


def in_time(config: Config, dataset: datasets.Dataset) -> timeout.WithTimeout:
  """Returns a data set whose examples come in time, or raise TimeoutError."""
  return timeout.WithTimeout(
      dataset, config.loader_timeout, max(config.threads, 1)
  )


@dataclasses.dataclass(frozen=True)
class Training:
  """What the loop of training needs, from `training`.

  Attributes:
    system: what is trained.
    dataset: the training split.
    batches: `batches(first_step)` is an iterator over this host's batches.
    names: `names(step)` are the names of the examples of a step, counted from
      1, of all hosts.
    batch: the shapes of a global batch, {field: [B, ...]}; of the largest, if
      batches have several sizes.
    layout: how batches and the state lie on the devices.
    step: `step(state, batch) -> (state, scalars)`, not compiled.
    statistics_step: see `steps.make_statistics_step`; not compiled.
    search_step: see `steps.make_search_step`; not compiled.
    precise_norms: batches whose statistics batch norms have in an evaluation; 0
      keeps the moving averages.
    init: `init()` returns the first state.
    seed: of the run.
    batch_size: images of a step, over all devices.
    total_steps: length of the run.
    log_every: steps between lines of the summaries.
    eval_every: steps between evaluations.
    checkpoint_every: steps between checkpoints.
    keep: newest checkpoints to keep.
    max_bad_steps: skipped steps in a row that end the run.
    profile: whether to write a profile of some steps.
    init_from: workdir or name of the weights to begin with, or ''.
    init_only: regular expression of the variables to take from there.
  """

  system: System
  dataset: datasets.Dataset
  batches: Callable[[int], pipeline.Batches]
  names: Callable[[int], list[str]]
  batch: dict[str, jax.ShapeDtypeStruct]
  layout: parallel.Layout
  step: Callable
  statistics_step: Callable
  search_step: Callable
  precise_norms: int
  init: Callable
  seed: int
  batch_size: int
  total_steps: int
  log_every: int
  eval_every: int
  checkpoint_every: int
  keep: int
  max_bad_steps: int
  profile: bool
  init_from: str
  init_only: str


def training(config: Config) -> Training:
  """Builds everything that training needs; reads the images of one batch."""
  devices = layout(config)
  _check_numbers(config, devices)
  train_set = train_dataset(config)
  weights = class_weights.compute(
      config.class_weights, train_set, on_bad_example=config.on_bad_example
  )
  trained = system(config, train_set.label_map, weights)
  sizes = check_sizes(config, trained, devices)
  tx, rates = _optimizer(config)
  read_batches, names = _reading(config, train_set)
  largest = max(sizes, key=lambda spec: math.prod(sizes[spec]))
  batch = _batch_shapes(
      functools.partial(read_batches, largest), config.batch_size
  )
  _check_batch(config, trained, devices, batch)

  def init():
    variables = trained.init(config.seed, batch['image'].shape)
    return steps.init_state(variables, tx, ema=config.optim.ema > 0)

  def frozen(name):
    return optim.factor(config.optim.factors, name) == 0

  of_run = dict(seed=config.seed, total_steps=config.total_steps, frozen=frozen)
  accumulate = config.optim.accumulate
  return Training(
      system=trained,
      dataset=train_set,
      batches=functools.partial(
          read_batches, config.preprocess.train, config.batch_size
      ),
      names=names,
      batch=batch,
      layout=devices,
      step=steps.make_train_step(
          trained,
          tx,
          rates=rates,
          accumulate=accumulate,
          ema=config.optim.ema,
          max_bad_steps=config.max_bad_steps,
          remat=config.remat,
          **of_run,
      ),
      statistics_step=steps.make_statistics_step(trained, **of_run),
      search_step=steps.make_search_step(
          trained, accumulate=accumulate, **of_run
      ),
      precise_norms=config.precise_norms,
      init=init,
      seed=config.seed,
      batch_size=config.batch_size,
      total_steps=config.total_steps,
      log_every=config.log_every,
      eval_every=config.eval_every,
      checkpoint_every=config.checkpoint_every,
      keep=config.keep,
      max_bad_steps=config.max_bad_steps,
      profile=config.profile,
      init_from=config.init_from,
      init_only=config.init_only,
  )


def _check_numbers(config, devices):
  """Raises ValueError if a number of steps or batches cannot be meant."""
  for name in POSITIVE:
    if config[name] < 1:
      raise ValueError(f'config.{name}={config[name]} must be at least 1.')
  if config.precise_norms < 0:
    raise ValueError(
        f'config.precise_norms={config.precise_norms} must be a number of'
        ' batches, or 0.'
    )
  devices.check(config.batch_size)
  local_batch = config.batch_size // devices.groups()
  if config.optim.accumulate < 1 or local_batch % config.optim.accumulate:
    raise ValueError(
        f'config.optim.accumulate={config.optim.accumulate} must divide the'
        f' {local_batch} images of a device.'
    )


def check_sizes(
    config: Config, system: System, layout: parallel.Layout
) -> dict[str, tuple[int, int]]:
  """Returns {spec: (height, width) of labels} of what passes take in turn.

  Args:
    config: of the run.
    system: which takes the images.
    layout: of the devices.

  Raises:
    ValueError: the system or the devices do not take images of one of the
      sizes.
  """
  sizes = {}
  for spec in transforms.in_turn(config.preprocess.train):
    ops = transforms.parse(spec)
    sizes[spec] = height, width = transforms.static_size(ops)
    system.check_crop(height, width, transforms.halo(ops))
    layout.check_height(height)
  return sizes


def _check_batch(config, trained, devices, batch):
  """Raises ValueError if a system or the devices cannot use a batch.

  Args:
    config: of the run.
    trained: the `System`.
    devices: the `parallel.Layout`.
    batch: shapes of a global batch, {field: [B, ...]}.
  """
  # A model with a loss of its own may not need all of the truth.
  unread = getattr(trained.model, 'unread', ())
  wanted = {*trained.train_reads, *trained.task.TRUTH} - {'weight', *unread}
  fields.check(sorted(wanted), batch, config.model_name)
  for name in batch:
    if fields.is_spatial(name):
      devices.check_height(batch[name].shape[1])
  if config.precise_norms and 'batch_stats' not in trained.shapes(
      batch['image'].shape
  ):
    raise ValueError(
        f'config.precise_norms={config.precise_norms} is for batch norms, and'
        f' {config.model_name} with these fields has none: leave it at 0.'
    )


def _optimizer(config):
  """Returns the optimiser, and the learning rates that are logged."""
  learning_rate = optim.schedule(config.total_steps, **config.lr)
  groups = config.optim.groups.to_dict()
  tx = optim.create(
      learning_rate,
      optimizer=config.optim.optimizer,
      weight_decay=config.optim.weight_decay,
      decay_on=config.optim.decay_on,
      factors=config.optim.factors,
      clip=config.optim.clip,
      groups=groups,
      layers=layer_factors(config),
      total_steps=config.total_steps,
  )
  return tx, optim.rates(learning_rate, groups)


def layer_factors(config: Config) -> tuple[tuple[str, float], ...]:
  """Returns the factors of the learning rate by layers of the backbone."""
  text = config.model.get('backbone', '')
  backbone = backbones.build(text) if text else None
  return optim.layer_factors_of(backbone, config.optim.layer_decay)


def _reading(config, train_set):
  """Returns how the examples of a data set are read in training.

  Args:
    config: of the run.
    train_set: what is trained on.

  Returns:
    `read_batches(spec, batch_size, first_step)`, an iterator over the batches
    of this host, and `names(step)`, see `Training`.
  """
  examples = cache.Cached(in_time(config, train_set), config.decoded_gb)
  order = dict(
      seed=config.seed,
      on_bad_example=config.on_bad_example,
      class_uniform=class_uniform.create(
          config.dataset.class_uniform,
          train_set,
          seed=config.seed,
          on_bad_example=config.on_bad_example,
      ),
      turns=_turns_of_steps(config),
      mix=train_set.mix() if isinstance(train_set, Mixed) else (),
  )

  def read_batches(spec, batch_size, first_step):
    return pipeline.train_batches(
        examples,
        spec,
        batch_size=batch_size,
        first_step=first_step,
        num_hosts=hosts.count(),
        host=hosts.index(),
        threads=config.threads,
        **order,
    )

  def names(step):
    return pipeline.example_names(
        examples, batch_size=config.batch_size, step=step - 1, **order
    )

  return read_batches, names


def _turns_of_steps(config):
  """Returns the `pipeline.Turns` if turns have their own examples, or None."""
  if not config.dataset.by_turn:
    return None
  turns = optim.turn(
      config.optim.groups.to_dict(),
      np.arange(config.total_steps),
      total_steps=config.total_steps,
  )
  if not np.any(turns):
    raise ValueError(
        'config.dataset.by_turn divides the training examples among the turns'
        ' of config.optim.groups, and these take none: give a group turn=1, or'
        ' leave by_turn at False.'
    )
  return pipeline.Turns(np.asarray(turns))


def _batch_shapes(read_batches, batch_size):
  """Returns the shapes of a global batch, read off one image of each host.

  Args:
    read_batches: `read_batches(batch_size, first_step)`.
    batch_size: of the run.
  """
  batches = read_batches(hosts.count(), 0)
  try:
    one = next(batches)
  finally:
    batches.close()
  return {
      name: jax.ShapeDtypeStruct((batch_size, *x.shape[1:]), x.dtype)
      for name, x in one.items()
  }
