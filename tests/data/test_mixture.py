import contextlib
import itertools

import numpy as np
import pytest

from segjax.data import pipeline

SPEC = 'random_crop(4)|flip|photometric|normalize'
# Sets of 3 and of 8 examples.
MIX = [(range(3), 3.0), (range(3, 11), 1.0)]


class Numbers:
  """Examples whose label says which one it is."""

  def __init__(self, length=11):
    self.length = length

  def __len__(self):
    return self.length

  def __getitem__(self, index):
    rng = np.random.default_rng(index)
    return {
        'image': rng.integers(0, 256, (6, 6, 3), np.uint8),
        'label': np.full((6, 6), index, np.uint8),
        'name': str(index),
    }


def take(count, **options):
  options = {'first_step': 0, 'mix': MIX} | options
  batches = pipeline.train_batches(
      Numbers(), SPEC, batch_size=4, seed=3, **options
  )
  with contextlib.closing(batches):
    return list(itertools.islice(batches, count))


def drawn(batches):
  return [int(n) for batch in batches for n in batch['label'][:, 0, 0]]


def test_sets_are_drawn_as_often_as_their_weights_say():
  numbers = drawn(take(32))
  first = [n for n in numbers if n < 3]
  second = [n for n in numbers if n >= 3]
  assert len(first) == 3 * len(second)
  # Each set has epochs of its own.
  for epoch in (second[i : i + 8] for i in range(0, 32, 8)):
    assert sorted(epoch) == list(range(3, 11))
  for epoch in (first[i : i + 3] for i in range(0, 96, 3)):
    assert sorted(epoch) == [0, 1, 2]
  assert len({tuple(first[i : i + 3]) for i in range(0, 96, 3)}) > 1


def test_a_batch_depends_on_seed_and_step_alone():
  straight = take(6)
  resumed = take(3, first_step=3)
  for one, other in zip(straight[3:], resumed, strict=True):
    for name in ('image', 'label'):
      np.testing.assert_array_equal(one[name], other[name])
  # The random ops of an example differ from place to place.
  seen = {}
  for batch in straight:
    for image, label in zip(batch['image'], batch['label'], strict=True):
      seen.setdefault(int(label[0, 0]), set()).add(image.tobytes())
  assert all(len(crops) > 1 for n, crops in seen.items() if n < 3)


@pytest.mark.parametrize('hosts', [2, 4])
def test_hosts_share_the_same_global_batches(hosts):
  whole = take(3, first_step=1)
  parts = [take(3, first_step=1, num_hosts=hosts, host=h) for h in range(hosts)]
  for batch, *shares in zip(whole, *parts, strict=True):
    for name, array in batch.items():
      joined = np.concatenate([share[name] for share in shares])
      np.testing.assert_array_equal(joined, array)


def test_the_names_of_a_step_are_those_of_its_batch():
  batches = take(3)
  for step, batch in enumerate(batches):
    names = pipeline.example_names(
        Numbers(), batch_size=4, seed=3, step=step, mix=MIX
    )
    assert [int(name) for name in names] == drawn([batch])


def test_other_ways_to_choose_examples_are_refused():
  turns = pipeline.Turns(np.array([0, 1]))
  with pytest.raises(ValueError, match='set one of them alone'):
    take(1, turns=turns)
