"""What a config stands for: data sets, the system, and what programs do.

This is the last module that sees a config. Training, evaluation, prediction,
the doctor and the other programs build from here, and what they are given are
a `System` and plain values, so they cannot disagree.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import functools
import math
import pathlib
import types

from absl import logging
from flax import linen as nn
import jax
import ml_collections
import numpy as np

from segjax import backbones
from segjax import models
from segjax import optim
from segjax import parallel
from segjax import specs
from segjax import steps
from segjax import system as systems
from segjax import tasks
from segjax.data import cache
from segjax.data import datasets
from segjax.data import fields
from segjax.data import folds
from segjax.data import pipeline
from segjax.data import statistics
from segjax.data import timeout
from segjax.data import transforms
from segjax.data.class_uniform import ClassUniform
from segjax.data.class_uniform import class_centers
from segjax.data.image import BadExample
from segjax.data.label_map import LabelMap
from segjax.data.parts import Mixed
from segjax.data.parts import Part
from segjax.data.values import Values
from segjax.inference.views import Inference
from segjax.runtime import hosts
from segjax.system import System

Config = ml_collections.ConfigDict
POSITIVE = (
    *('total_steps', 'log_every', 'eval_every', 'checkpoint_every'),
    *('keep', 'threads', 'max_bad_steps'),
)

EVAL_SAMPLE = 16  # Examples of the evaluated split that are read beforehand.

# {what folds depend on: the fold of each example}, of this process.
_FOLDS = {}


def dataset(config: Config, split: str) -> datasets.Dataset:
  """Returns a split of the configured data set, or of those that are mixed."""
  return _joined(config, split, _sets(config, split))


def train_dataset(config: Config) -> datasets.Dataset:
  """Returns what is trained on: a split, without the fold that is held out.

  Raises:
    ValueError: one of the sets that are mixed lacks the split.
  """
  split = config.dataset.train_split
  sets = _sets(config, split)
  lacking = [name for name in _folders(config) if name not in sets]
  if lacking:
    raise ValueError(
        f'config.dataset.mix: {", ".join(lacking)} has no split {split!r} to be'
        ' trained on.'
    )
  if config.dataset.fold:
    fold, _ = folds.parse(config.dataset.fold)
    split = f'all-but-{eval_split(config)}'
    sets = {
        name: Part(whole, np.flatnonzero(numbers != fold), split)
        for name, whole, numbers in _with_folds(config, sets)
    }
  return _joined(config, split, sets)


def eval_dataset(config: Config) -> datasets.Dataset:
  """Returns what is evaluated: a split, or the fold that is held out.

  Of sets that are mixed it is all that have the split.
  """
  if not config.dataset.fold:
    return dataset(config, config.dataset.eval_split)
  fold, _ = folds.parse(config.dataset.fold)
  split = eval_split(config)
  sets = {
      name: Part(whole, np.flatnonzero(numbers == fold), split)
      for name, whole, numbers in _with_folds(
          config, _sets(config, config.dataset.train_split)
      )
  }
  return _joined(config, split, sets)


def _folders(config):
  """Returns {name: (name of the data set, folder, weight)} of what is mixed."""
  mix = config.dataset.mix
  if not mix:
    return {'': (config.dataset.name, config.data_dir, 1.0)}
  try:
    entries = [(str(text), float(weight)) for text, weight in mix]
    good = all(0 < weight < np.inf for _, weight in entries)
  except (TypeError, ValueError):
    good = False
  if not good:
    raise ValueError(
        f'config.dataset.mix={mix!r} is a list of folders with weights above 0,'
        " such as (('mydata', 3.0), ('more', 1.0))."
    )
  folders = {}
  for text, weight in entries:
    kind, _, folder = text.partition(':')
    if kind not in datasets.names():
      kind, folder = config.dataset.name, text
    path = pathlib.PurePath(folder)
    name = path.name if path.name not in folders else str(path)
    if (kind, folder) in [given[:2] for given in folders.values()]:
      raise ValueError(f'config.dataset.mix={mix!r} has {text} twice.')
    folders[name] = kind, folder, weight
  return folders


def _sets(config, split):
  """Returns {name: data set} of the sets that have a split.

  Raises:
    ValueError: none has it.
  """
  sets, error = {}, None
  for name, (kind, folder, _) in _folders(config).items():
    options = config.dataset.options if kind == config.dataset.name else {}
    try:
      sets[name] = datasets.load(kind, split, folder, **options)
    except datasets.NoSplitError as missing:
      error = error or missing
  if not sets:
    raise error
  return sets


def _joined(config, split, sets):
  """Returns the sets as one data set."""
  if not config.dataset.mix:
    return sets['']
  weights = {name: weight for name, (*_, weight) in _folders(config).items()}
  return Mixed(sets, weights, split)


def _with_folds(config, sets):
  """Yields (name, data set, fold of each example, [N] from 1 on) of the sets.

  Every mask is read once in a process.
  """
  _, count = folds.parse(config.dataset.fold)
  options = config.dataset.options.to_dict()
  for name, whole in sets.items():
    where = (*_folders(config)[name][:2], config.dataset.train_split)
    key = (*where, repr(options), len(whole), config.seed, count)
    if key not in _FOLDS:
      counts = hosts.from_first(
          functools.partial(
              statistics.class_counts,
              whole,
              on_bad_example=config.on_bad_example,
          )
      )
      _FOLDS[key] = folds.divide(counts[:, :-1] > 0, count, config.seed)
    yield name, whole, _FOLDS[key]


def eval_split(config: Config) -> str:
  """Returns the name of what is evaluated, 'val' or 'train-2-of-5'."""
  if not config.dataset.fold:
    return config.dataset.eval_split
  fold, count = folds.parse(config.dataset.fold)
  return f'{config.dataset.train_split}-{fold}-of-{count}'


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
  """What an evaluation needs, from `evaluation`.

  Attributes:
    system: what is evaluated.
    dataset: the split.
    examples: function that returns an iterator over this host's examples.
    forward: see `forward`.
    options: of prediction.
    absent: convention for classes that do not occur.
    num_pictures: examples to draw.
    values: type and range of the images that the model is trained on, if known.
  """

  system: System
  dataset: datasets.Dataset
  examples: Callable[[], Iterator[dict]]
  forward: Callable
  options: Inference
  absent: str
  num_pictures: int
  values: Values | None


def evaluation(
    config: Config,
    system: System,
    dataset: datasets.Dataset,
    values: Values | None = None,
    temperature: float = 1.0,
) -> Evaluation:
  """Builds everything that an evaluation of a split needs; reads one example.

  Whatever the config says of it is checked here: a mistake must not show at the
  first evaluation, after hours of training.
  """
  system.task.scores(system.label_map, absent=config.absent)
  examples = eval_examples(config, dataset)
  first = next(examples(), None)
  if first is not None:  # A host may have none.
    fields.check(system.reads, first, config.model_name)
  return Evaluation(
      system=system,
      dataset=dataset,
      examples=examples,
      forward=forward(config, system),
      options=inference(config, system, temperature),
      absent=config.absent,
      num_pictures=config.num_pictures,
      values=values,
  )


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
) -> Callable[[], Iterator[dict]]:
  """Returns a function that begins to read the examples of a split.

  Args:
    config: of the run.
    dataset: the split.
    num_hosts: among how many the examples are divided; 0 for all there are.
    host: which of these it is; by default this one.
  """
  read = in_time(config, dataset)

  def examples():
    return pipeline.eval_examples(
        read,
        config.preprocess.eval,
        num_hosts=num_hosts or hosts.count(),
        host=hosts.index() if host is None else host,
        threads=config.threads,
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
  for name in POSITIVE:
    if config[name] < 1:
      raise ValueError(f'config.{name}={config[name]} must be at least 1.')
  if config.precise_norms < 0:
    raise ValueError(
        f'config.precise_norms={config.precise_norms} must be a number of'
        ' batches, or 0.'
    )
  devices = layout(config)
  devices.check(config.batch_size)
  local_batch = config.batch_size // devices.groups()
  if config.optim.accumulate < 1 or local_batch % config.optim.accumulate:
    raise ValueError(
        f'config.optim.accumulate={config.optim.accumulate} must divide the'
        f' {local_batch} images of a device.'
    )
  train_set = train_dataset(config)
  trained = system(
      config, train_set.label_map, class_weights(config, train_set)
  )
  sizes = check_sizes(config, trained, devices)
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
  examples = cache.Cached(in_time(config, train_set), config.decoded_gb)
  mix = train_set.mix() if isinstance(train_set, Mixed) else ()
  uniform = class_uniform(config, train_set)
  turns = turns_of_steps(config, groups)

  def read_batches(spec, batch_size, first_step):
    return pipeline.train_batches(
        examples,
        spec,
        batch_size=batch_size,
        seed=config.seed,
        first_step=first_step,
        num_hosts=hosts.count(),
        host=hosts.index(),
        threads=config.threads,
        on_bad_example=config.on_bad_example,
        class_uniform=uniform,
        turns=turns,
        mix=mix,
    )

  def names(step):
    return pipeline.example_names(
        examples,
        batch_size=config.batch_size,
        seed=config.seed,
        step=step - 1,
        on_bad_example=config.on_bad_example,
        class_uniform=uniform,
        turns=turns,
        mix=mix,
    )

  largest = max(sizes, key=lambda spec: math.prod(sizes[spec]))
  batch = batch_shapes(
      functools.partial(read_batches, largest), config.batch_size
  )
  # A model with a loss of its own may not need all of the truth.
  unread = getattr(trained.model, 'unread', ())
  wanted = {*trained.train_reads, *trained.task.TRUTH} - {'weight', *unread}
  fields.check(sorted(wanted), batch, config.model_name)
  for name in batch:
    if fields.is_spatial(name):
      devices.check_height(batch[name].shape[1])

  def frozen(name):
    return optim.factor(config.optim.factors, name) == 0

  step = steps.make_train_step(
      trained,
      tx,
      seed=config.seed,
      rates=optim.rates(learning_rate, groups),
      total_steps=config.total_steps,
      accumulate=config.optim.accumulate,
      ema=config.optim.ema,
      max_bad_steps=config.max_bad_steps,
      remat=config.remat,
      frozen=frozen,
  )

  if config.precise_norms and 'batch_stats' not in trained.shapes(
      batch['image'].shape
  ):
    raise ValueError(
        f'config.precise_norms={config.precise_norms} is for batch norms, and'
        f' {config.model_name} with these fields has none: leave it at 0.'
    )

  def init():
    variables = trained.init(config.seed, batch['image'].shape)
    return steps.init_state(variables, tx, ema=config.optim.ema > 0)

  return Training(
      system=trained,
      dataset=train_set,
      batches=functools.partial(
          read_batches, config.preprocess.train, config.batch_size
      ),
      names=names,
      batch=batch,
      layout=devices,
      step=step,
      statistics_step=steps.make_statistics_step(
          trained,
          seed=config.seed,
          total_steps=config.total_steps,
          frozen=frozen,
      ),
      search_step=steps.make_search_step(
          trained,
          seed=config.seed,
          total_steps=config.total_steps,
          accumulate=config.optim.accumulate,
          frozen=frozen,
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


def batch_shapes(
    read_batches: Callable, batch_size: int
) -> dict[str, jax.ShapeDtypeStruct]:
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


def layer_factors(config: Config) -> tuple[tuple[str, float], ...]:
  """Returns the factors of the learning rate by layers of the backbone."""
  text = config.model.get('backbone', '')
  backbone = backbones.build(text) if text else None
  return optim.layer_factors_of(backbone, config.optim.layer_decay)


def turns_of_steps(
    config: Config, groups: dict[str, dict]
) -> pipeline.Turns | None:
  """Returns which step is of which turn, if turns have their own examples.

  Args:
    config: of the run.
    groups: see `optim.create`.
  """
  if not config.dataset.by_turn:
    return None
  turns = optim.turn(
      groups, np.arange(config.total_steps), total_steps=config.total_steps
  )
  if not np.any(turns):
    raise ValueError(
        'config.dataset.by_turn divides the training examples among the turns'
        ' of config.optim.groups, and these take none: give a group turn=1, or'
        ' leave by_turn at False.'
    )
  return pipeline.Turns(np.asarray(turns))


def class_uniform(
    config: Config, train_set: datasets.Dataset
) -> ClassUniform | None:
  """Returns which examples are taken for a class that they show, or None.

  Every mask of the training split is read once.
  """
  share = config.dataset.class_uniform
  if not 0 <= share <= 1:
    raise ValueError(
        f'config.dataset.class_uniform={share} is a share of the examples, from'
        ' 0 to 1.'
    )
  if not share:
    return None
  if train_set.label_map.overlapping:
    raise ValueError(
        f'config.dataset.class_uniform={share} is for pixels of one class, and'
        ' the classes of the data set overlap: leave it at 0.'
    )
  centers = hosts.from_first(
      lambda: class_centers(train_set, on_bad_example=config.on_bad_example)
  )
  return ClassUniform(centers, share, config.seed)


def class_weights(
    config: Config, train_set: datasets.Dataset
) -> np.ndarray | None:
  """Returns the weights of the classes in the loss, [K], or None.

  `config.class_weights` is '', numbers with commas between, or a rule:
  'median_frequency', 'inverse_log(offset=1.1)', or 'auto', which is
  'inverse_log'. The rules read every mask of the training split once.
  """
  label_map = train_set.label_map
  text = config.class_weights
  if not text:
    return None
  if label_map.overlapping:
    raise ValueError(
        f'config.class_weights={text!r} is for pixels of one class, and the'
        ' classes of the data set overlap: leave it empty, or give the loss'
        ' weights of its own, as in binary_cross_entropy(pos_weight=2.0).'
    )
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
