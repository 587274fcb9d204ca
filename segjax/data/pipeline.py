"""Input pipeline: batches for training and examples for evaluation, by grain.

The training examples are an endless sequence that depends only on the data set,
the spec and the seed: each epoch has a new order, and the random transforms of
an example depend on the seed and on its position in the sequence. Step s takes
`batch_size` of them from position s * batch_size on, and each host takes a
contiguous part of these. So a run can resume at any step without reading the
examples before it, and the global batches do not depend on the number of hosts.
"""

from collections.abc import Iterator
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


class Batches:
  """An endless iterator over one host's batches; see `train_batches`."""

  def __init__(self, batches, reader):
    self._batches = batches
    self._reader = reader

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
    return len(self._reader.bad)

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
) -> Batches:
  """Returns an iterator over this host's batches from `first_step` on.

  Args:
    dataset: a `datasets.Dataset`.
    spec: ops for `transforms.parse`; they must set a size and normalize.
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
  ops = _parse(spec)
  if class_uniform and not any(isinstance(op, transforms.Crop) for op in ops):
    raise ValueError(
        'Class-uniform sampling lays crops over places where a class occurs,'
        f' and {spec!r} has no crop. Add one, such as random_crop, or set'
        ' config.dataset.class_uniform=0.0.'
    )
  ops = (*transforms.fuse(ops), transforms.Pad(*transforms.static_size(ops)))
  sequence, reader = _sequence(dataset, seed, on_bad_example, class_uniform)
  examples = sequence.random_map(_transform(ops))
  share = batch_size // num_hosts

  def example(i):
    """Returns the i-th example that this host takes."""
    step, offset = divmod(i, share)
    return examples[(first_step + step) * batch_size + host * share + offset]

  options = grain.ReadOptions(threads, max(prefetch * share, threads))
  batches = (
      grain.MapDataset.range(sys.maxsize)
      .map(example)
      .to_iter_dataset(options)
      .batch(share, batch_fn=_stack)
  )
  return Batches(iter(batches), reader)


def example_names(
    dataset: Any,
    *,
    batch_size: int,
    seed: int,
    step: int,
    on_bad_example: str = 'raise',
    class_uniform: ClassUniform | None = None,
) -> list[str]:
  """Returns the names of the examples of a batch, of all hosts.

  Args:
    dataset: see `train_batches`, as for the others.
    batch_size: number of examples of a batch.
    seed: of the order of examples.
    step: the step, counted from 0.
    on_bad_example: 'raise' or 'skip'.
    class_uniform: examples that are taken for a class.
  """
  sequence, _ = _sequence(dataset, seed, on_bad_example, class_uniform)
  first = step * batch_size
  return [sequence[first + i]['name'] for i in range(batch_size)]


def _sequence(dataset, seed, on_bad_example, class_uniform):
  """Returns the endless sequence of examples as read, and its reader."""
  order = grain.MapDataset.range(len(dataset)).seed(seed).shuffle().repeat()
  reader = _Reader(dataset, order, on_bad_example == 'skip', class_uniform)
  return order.map_with_index(reader), reader


def eval_examples(
    dataset: Any,
    spec: str,
    *,
    num_hosts: int = 1,
    host: int = 0,
    threads: int = 2,
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


def _transform(ops):
  """Returns the function that applies ops and names the example in an error."""

  def transform(features, rng=None):
    try:
      return transforms.apply(ops, features, rng)
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
