"""Input pipeline: batches for training and examples for evaluation, by grain.

The training examples are an endless sequence that depends only on the data set,
the spec and the seed: each epoch has a new order, and the random transforms of
an example, and the other examples that are mixed with it, depend on the seed
and on its position in the sequence. Step s takes `batch_size` of them from
position s * batch_size on, and each host takes a contiguous part of these. So a
run can resume at any step without reading the examples before it, and the
global batches do not depend on the number of hosts.

Steps that take turns, see `Turns`, take from a sequence for each turn, and the
examples are divided among these. Sets that are mixed have a sequence each, and
take places of the whole sequence in proportion to their weights. Where passes
over the examples take specs in turn, all of a batch go through that of the pass
in which it begins, so the batches of a pass have one shape.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import sys
import threading
from typing import Any

from absl import logging
import cv2
import grain
import numpy as np

from segjax.data import fields
from segjax.data import transforms
from segjax.data.class_uniform import ClassUniform
from segjax.data.image import BadExample
from segjax.data.parts import Part


class Turns:
  """Which turn a step is of, for turns with examples of their own.

  Architecture search learns weights and architecture from two halves of the
  images, https://arxiv.org/abs/1806.09055. The split depends on the seed alone.
  """

  def __init__(self, turns: np.ndarray):
    """Takes the turn of each step, [steps] integers from 0 on."""
    self._turns = turns
    self.count = int(turns.max()) + 1
    # Steps before each step that are of its turn.
    self._before = np.zeros(len(turns), int)
    for turn in range(self.count):
      own = turns == turn
      self._before[own] = np.arange(own.sum())

  def find(self, step: int) -> tuple[int, int]:
    """Returns the turn of a step, and how many of that turn are before it.

    Steps beyond the last one, which are read ahead, are of turn 0.
    """
    beyond = step - len(self._turns)
    if beyond >= 0:
      return 0, int((self._turns == 0).sum()) + beyond
    return int(self._turns[step]), int(self._before[step])

  def split(self, length: int, seed: int) -> list[np.ndarray]:
    """Returns the indices of the examples of each turn, drawn by the seed."""
    if length < self.count:
      raise ValueError(
          f'The split has {length} examples, too few to divide them among'
          f' {self.count} turns: leave config.dataset.by_turn at False.'
      )
    order = np.random.default_rng(seed).permutation(length)
    return [np.sort(part) for part in np.array_split(order, self.count)]


class Batches:
  """An endless iterator over one host's batches; see `train_batches`."""

  def __init__(self, batches, readers):
    self._batches = batches
    self._readers = readers

  def __iter__(self):
    return self

  def __next__(self):
    try:
      return next(self._batches)
    except BaseException:  # Later batches would be at wrong positions.
      self.close()
      raise

  @property
  def skipped(self):
    """Number of different unreadable examples that were replaced so far."""
    return sum(len(reader.bad) for reader in self._readers)

  def close(self):
    """Stops the threads that read batches ahead."""
    self._batches.close()


def train_batches(
    dataset: Any,
    spec: str,
    *,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    num_hosts: int = 1,
    host: int = 0,
    threads: int = 2,
    prefetch: int = 2,
    on_bad_example: str = 'raise',
    class_uniform: ClassUniform | None = None,
    turns: Turns | None = None,
    mix: Sequence[tuple[Sequence[int], float]] = (),
) -> Batches:
  """Returns an iterator over this host's batches from `first_step` on.

  Args:
    dataset: a `datasets.Dataset`.
    spec: ops for `transforms.in_turn` and `transforms.parse`; they must set a
      size and normalize.
    batch_size: number of examples of a batch, over all hosts.
    seed: seed of the order of examples and of the random ops.
    first_step: the step, counted from 0, whose batch comes first.
    num_hosts: number of hosts, a divisor of `batch_size`.
    host: index of this host.
    threads: threads that read and transform examples.
    prefetch: batches to read ahead.
    on_bad_example: 'raise', or 'skip' to log and count an unreadable example
      and to take the next good one in the order of its epoch instead.
    class_uniform: examples that are taken for a class that they show, with an
      'anchor' for the crop.
    turns: of the steps, if each turn has examples of its own.
    mix: (indices, weight) of each set of a mixture; the weights tell how often
      examples of a set are taken. Empty for a single set.

  Returns:
    `Batches`, dicts with all fields that the examples have after the ops: the
    'image', float32 [b, H, W, C], the 'label', uint8 [b, H, W], and others that
    the data set reads or an op derives; see `segjax.data.fields`. After a crop
    with a halo, the image is larger than the label by the halo on each side.
  """
  _check(dataset, num_hosts, host)
  if batch_size < 1 or batch_size % num_hosts:
    raise ValueError(
        f'batch_size {batch_size} cannot be split over {num_hosts} hosts'
    )
  if on_bad_example not in ('raise', 'skip'):
    raise ValueError(
        f"on_bad_example is 'raise' or 'skip', not {on_bad_example!r}"
    )
  in_turn = [_train_ops(s, class_uniform) for s in transforms.in_turn(spec)]
  pairs = _sequences(
      dataset, seed, on_bad_example, class_uniform, turns, mix, in_turn
  )
  share = batch_size // num_hosts

  def example(i):
    """Returns the i-th example that this host takes."""
    step, offset = divmod(i, share)
    step += first_step
    at = step * batch_size // len(dataset) % len(in_turn)
    turn, step = _find(turns, step)
    sequences, _ = pairs[turn]
    return sequences[at][step * batch_size + host * share + offset]

  options = grain.ReadOptions(threads, max(prefetch * share, threads))
  batches = (
      grain.MapDataset.range(sys.maxsize)
      .map(example)
      .to_iter_dataset(options)
      .batch(share, batch_fn=_stack)
  )
  return Batches(iter(batches), [r for _, readers in pairs for r in readers])


def example_names(
    dataset: Any,
    *,
    batch_size: int,
    seed: int,
    step: int,
    on_bad_example: str = 'raise',
    class_uniform: ClassUniform | None = None,
    turns: Turns | None = None,
    mix: Sequence[tuple[Sequence[int], float]] = (),
) -> list[str]:
  """Returns the names of the examples of a batch, of all hosts.

  Args:
    dataset: see `train_batches`, as for the others.
    batch_size: number of examples of a batch.
    seed: of the order of examples.
    step: the step, counted from 0.
    on_bad_example: 'raise' or 'skip'.
    class_uniform: examples that are taken for a class.
    turns: of the steps.
    mix: of the sets.
  """
  pairs = _sequences(dataset, seed, on_bad_example, class_uniform, turns, mix)
  turn, step = _find(turns, step)
  (sequence,), _ = pairs[turn]
  first = step * batch_size
  return [sequence[first + i]['name'] for i in range(batch_size)]


def _train_ops(spec, class_uniform):
  """Returns the ops of a spec of training, with resizings and crops fused."""
  ops = _parse(spec)
  if class_uniform and not any(isinstance(op, transforms.Crop) for op in ops):
    raise ValueError(
        'Class-uniform sampling lays crops over places where a class occurs,'
        f' and {spec!r} has no crop. Add one, such as random_crop, or set'
        ' config.dataset.class_uniform=0.0.'
    )
  return *transforms.fuse(ops), transforms.Pad(*transforms.static_size(ops))


def _sequences(
    dataset, seed, on_bad_example, class_uniform, turns, mix, in_turn=((),)
):
  """Returns (endless sequences of examples, their readers) of each turn.

  There is a sequence for each tuple of ops of `in_turn`, of the same examples;
  those that are mixed with one are of the same part of the data set.
  """
  skip = on_bad_example == 'skip'

  def sequence(part, class_uniform=None):
    order = grain.MapDataset.range(len(part)).seed(seed).shuffle().repeat()
    reader = _Reader(part, order, skip, class_uniform)
    examples = order.map_with_index(reader)
    transformed = [
        examples.random_map(_transform(ops, reader.draw)) if ops else examples
        for ops in in_turn
    ]
    return transformed, reader

  if mix and (turns or class_uniform):
    raise ValueError(
        'config.dataset.mix says how often each set is trained on, and'
        ' config.dataset.by_turn or class_uniform something else: set one of'
        ' them alone.'
    )
  if mix:
    sequences, readers = zip(
        *(sequence(Part(dataset, indices)) for indices, _ in mix), strict=True
    )
    weights = [weight for _, weight in mix]
    mixed = [
        grain.MapDataset.mix(alike, weights).seed(seed)
        for alike in zip(*sequences, strict=True)
    ]
    return [(mixed, readers)]
  if turns is None:
    sequences = [sequence(dataset, class_uniform)]
  elif class_uniform:
    raise ValueError(
        'Class-uniform sampling takes examples of the whole split, and'
        ' config.dataset.by_turn divides it: set one of the two alone.'
    )
  else:
    sequences = [
        sequence(Part(dataset, indices))
        for indices in turns.split(len(dataset), seed)
    ]
  return [(examples, [reader]) for examples, reader in sequences]


def _find(turns, step):
  """Returns the turn of a step, and its number among those of this turn."""
  return turns.find(step) if turns else (0, step)


def eval_examples(
    dataset: Any,
    spec: str,
    *,
    num_hosts: int = 1,
    host: int = 0,
    threads: int = 2,
    preprocessed: bool = True,
) -> Iterator[dict[str, Any]]:
  """Returns an iterator over this host's share of all examples, in order.

  An example is {'image': float32 [h, w, C] after the ops, 'label': [H, W] at
  its original size, 'name', 'raw': the image [H, W, C] as it was read}. The ops
  do not change the fields of `fields.TRUTH`, such as the label, but for those
  that are `on_truth`; other fields are transformed with the image. Hosts differ
  by one example at most.

  Args:
    dataset: a `datasets.Dataset`.
    spec: ops for `transforms.parse`, none of them random.
    num_hosts: number of hosts.
    host: index of this host.
    threads: threads that read and transform examples.
    preprocessed: whether the ops are applied; without, those that are
      `on_truth` still are, for what preprocesses images by itself.
  """
  _check(dataset, num_hosts, host)
  ops = _parse(spec)
  for op in ops:
    if isinstance(op, grain.transforms.RandomMap):
      raise ValueError(
          f'{op} is random, so it cannot be in an evaluation spec, {spec!r}; '
          'resize, pad and normalize can'
      )
  on_truth = [op for op in ops if getattr(op, 'on_truth', False)]
  if list(ops[: len(on_truth)]) != on_truth:
    raise ValueError(
        f'{spec!r}: what is made of the truth comes before all other ops of'
        ' evaluation, which leave the truth as it was read.'
    )
  pose, transform = map(_transform, (on_truth, ops[len(on_truth) :]))

  def prepare(features):
    features = {**features, **pose(features), 'raw': features['image']}
    if not preprocessed:
      return features
    inputs = {k: v for k, v in features.items() if k not in fields.TRUTH}
    return {**features, **transform(inputs)}

  options = grain.ReadOptions(threads, 2 * threads)
  shard = grain.MapDataset.source(dataset)[host::num_hosts]
  return iter(shard.map(prepare).to_iter_dataset(options))


class _Reader:
  """Reads the example at a position of the sequence, or the next readable one.

  The search for a substitute stays in the epoch, and wraps from its end to its
  beginning. So the substitute does not depend on what was read before.
  """

  def __init__(self, dataset, order, skip, class_uniform):
    self.bad = set()
    self._dataset = dataset
    self._order = order
    self._skip = skip
    self._class_uniform = class_uniform
    self._lock = threading.Lock()

  def __call__(self, position, index):
    if self._class_uniform and (chosen := self._class_uniform(position)):
      index, anchor = chosen
      try:
        return {**self._dataset[index], 'anchor': anchor[None]}
      except BadExample as error:
        if not self._skip:
          raise
        self._note(index, error)
    if not self._skip:
      return self._dataset[index]
    length = len(self._dataset)
    epoch_start = position // length * length
    for offset in range(length):
      index = self._order[epoch_start + (position + offset) % length]
      try:
        return self._dataset[index]
      except BadExample as error:
        self._note(index, error)
    raise BadExample(f'none of the {length} examples is readable')

  def draw(self, rng):
    """Returns any example, or the next readable one in the data set."""
    length = len(self._dataset)
    first = int(rng.integers(length))
    for index in (*range(first, length), *range(first)):
      try:
        return self._dataset[index]
      except BadExample as error:
        if not self._skip:
          raise
        self._note(index, error)
    raise BadExample(f'none of the {length} examples is readable')

  def _note(self, index, error):
    """Counts and logs an unreadable example when it is met first."""
    with self._lock:
      if index not in self.bad:
        self.bad.add(index)
        logging.warning('Skipped: %s', error)


def _check(dataset, num_hosts, host):
  """Raises ValueError for an empty data set or an impossible host index."""
  if not len(dataset):
    raise ValueError('the split has no examples')
  if host not in range(num_hosts):
    raise ValueError(f'host is 0 to {num_hosts - 1}, not {host}')


def _parse(spec):
  """Returns the ops of a spec; raises ValueError unless one is normalize."""
  ops = transforms.parse(spec)
  if sum(isinstance(op, transforms.Normalize) for op in ops) != 1:
    raise ValueError(f'the spec {spec!r} must contain normalize, and once')
  return ops


def _transform(ops, draw=None):
  """Returns the function that applies ops and names the example in an error.

  Args:
    ops: from `transforms.parse`.
    draw: see `transforms.apply`.
  """

  def transform(features, rng=None):
    try:
      return transforms.apply(ops, features, rng, draw)
    except BadExample:  # Of an example that is mixed in; it has its name.
      raise
    except (ValueError, cv2.error) as error:
      raise ValueError(f'{features["name"]}: {error}') from error

  return transform


def _stack(examples):
  """Stacks the fields of examples to a batch, without other entries."""
  first = examples[0]
  batch = {}
  for name in filter(fields.FIELDS.get, first):
    for example in examples:
      if name not in example:
        raise ValueError(
            f'{example["name"]} lacks the field {name}, which'
            f' {first["name"]} has: the examples of a batch have the same ones.'
        )
      if example[name].shape != first[name].shape:
        raise ValueError(
            f'The {name}s of a batch must have one shape, but'
            f' {first["name"]} is {first[name].shape} and'
            f' {example["name"]} is {example[name].shape}.'
        )
    batch[name] = np.stack([example[name] for example in examples])
  return batch
