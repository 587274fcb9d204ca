"""Batches for training and examples for evaluation, read by grain.

The training examples are an endless sequence that depends on the data set, the
spec and the seed alone: epoch after epoch in a new order, each transformed by
draws that depend on the seed and its place. Step s takes `batch_size` of them,
from place s * batch_size on, and each host a contiguous part of these. So
starting at any step costs nothing, and any number of hosts sees the same global
batches.
"""

import sys
import threading

from absl import logging
import grain
import numpy as np

from segjax.data import fields
from segjax.data import transforms
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
    except BaseException:  # What comes after would be shifted.
      self.close()
      raise

  @property
  def skipped(self):
    """How many bad examples of the data set were met and replaced so far."""
    return len(self._reader.bad)

  def close(self):
    """Ends the reading ahead."""
    self._batches.close()


def train_batches(
    dataset,
    spec,
    *,
    batch_size,
    seed,
    first_step=0,
    num_hosts=1,
    host=0,
    threads=2,
    prefetch=2,
    on_bad_example='raise',
):
  """Returns an iterator over this host's batches from `first_step` on.

  Args:
    dataset: random access to examples, {'image', 'label', 'name', ...}.
    spec: ops for `transforms.parse`, with a size and a normalize.
    batch_size: over all hosts.
    seed: of the order and the ops.
    first_step: the step whose batch comes first.
    num_hosts: number of hosts, a divisor of `batch_size`.
    host: index of this one.
    threads: threads that read and transform examples.
    prefetch: batches to read ahead.
    on_bad_example: 'raise', or 'skip' to log and count an unreadable example
      and to take the next good one in the order of its epoch instead.

  Returns:
    `Batches` of all fields that the examples have after the ops, by name: the
    'image', float32 [b, H, W, C], the 'label', uint8 [b, H, W], and those that
    the data set reads or an op of the spec derives; see `segjax.data.fields`.
    The image is larger by the halo of a crop that has one.
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
  ops = (*transforms.fuse(ops), transforms.Pad(*transforms.static_size(ops)))
  order = grain.MapDataset.range(len(dataset)).seed(seed).shuffle().repeat()
  reader = _Reader(dataset, order, on_bad_example == 'skip')
  examples = order.map_with_index(reader).random_map(_transform(ops))
  share = batch_size // num_hosts

  def example(i):  # The i-th that this host takes.
    step, place = divmod(i, share)
    return examples[(first_step + step) * batch_size + host * share + place]

  options = grain.ReadOptions(threads, max(prefetch * share, threads))
  batches = (
      grain.MapDataset.range(sys.maxsize)
      .map(example)
      .to_iter_dataset(options)
      .batch(share, batch_fn=_stack)
  )
  return Batches(iter(batches), reader)


def eval_examples(dataset, spec, *, num_hosts=1, host=0, threads=2):
  """Returns an iterator over this host's share of all examples, in order.

  Each is {'image': float32 [h, w, C] after the spec, 'label': [H, W] at its
  original size, 'name', 'raw': the image [H, W, C] as it was read}. The spec
  does not change truth; other fields move like the image. A host may have one
  example more than another, or none.
  """
  _check(dataset, num_hosts, host)
  ops = _parse(spec)
  for op in ops:
    if isinstance(op, grain.transforms.RandomMap):
      raise ValueError(
          f'{op} is random, so it cannot be in an evaluation spec, {spec!r}; '
          'resize, pad and normalize can'
      )
  transform = _transform(ops)

  def prepare(features):
    shown = {k: v for k, v in features.items() if k not in fields.TRUTH}
    return {**features, 'raw': features['image'], **transform(shown)}

  options = grain.ReadOptions(threads, 2 * threads)
  shard = grain.MapDataset.source(dataset)[host::num_hosts]
  return iter(shard.map(prepare).to_iter_dataset(options))


class _Reader:
  """Reads the example at a place of the order, or the next good one after it.

  Next is meant within the epoch, whose end is followed by its beginning: so the
  substitute does not depend on what was read before.
  """

  def __init__(self, dataset, order, skip):
    self.bad = set()
    self._dataset = dataset
    self._order = order
    self._skip = skip
    self._lock = threading.Lock()

  def __call__(self, place, index):
    if not self._skip:
      return self._dataset[index]
    length = len(self._dataset)
    epoch = place // length * length
    for offset in range(length):
      index = self._order[epoch + (place + offset) % length]
      try:
        return self._dataset[index]
      except BadExample as error:
        self._note(index, error)
    raise BadExample(f'none of the {length} examples is readable')

  def _note(self, index, error):
    with self._lock:
      if index not in self.bad:
        self.bad.add(index)
        logging.warning('Skipped: %s', error)


def _check(dataset, num_hosts, host):
  if not len(dataset):
    raise ValueError('the split has no examples')
  if host not in range(num_hosts):
    raise ValueError(f'host is 0 to {num_hosts - 1}, not {host}')


def _parse(spec):
  """Returns the ops of a spec, which must normalise once."""
  ops = transforms.parse(spec)
  if sum(isinstance(op, transforms.Normalize) for op in ops) != 1:
    raise ValueError(f'the spec {spec!r} must contain normalize, and once')
  return ops


def _transform(ops):
  """Returns the function that applies ops and names the example in an error."""

  def transform(features, rng=None):
    try:
      return transforms.apply(ops, features, rng)
    except ValueError as error:
      raise ValueError(f'{features["name"]}: {error}') from error

  return transform


def _stack(examples):
  """Stacks the fields of examples to a batch; other entries are left out."""
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
