import contextlib

import numpy as np
import pytest

from segjax.data import pipeline

SPEC = 'random_crop(4)|normalize'


class Numbers:
  """Examples whose image says which one it is."""

  def __len__(self):
    return 10

  def __getitem__(self, index):
    return {
        'image': np.full((4, 4, 3), index, np.uint8),
        'label': np.full((4, 4), index, np.uint8),
        'name': str(index),
    }


def labels(turns, first_step, count, **options):
  """The numbers of the examples of each step."""
  batches = pipeline.train_batches(
      Numbers(),
      SPEC,
      batch_size=2,
      seed=3,
      first_step=first_step,
      turns=turns,
      **options,
  )
  with contextlib.closing(batches):
    return [next(batches)['label'][:, 0, 0].tolist() for _ in range(count)]


def test_each_turn_has_its_part_of_the_examples():
  turns = pipeline.Turns(np.array([0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]))
  read = labels(turns, 0, 12)
  parts = [
      {n for step, pair in enumerate(read) if step in steps for n in pair}
      for steps in ((0, 1, 2, 4, 6, 8, 10), (3, 5, 7, 9, 11))
  ]
  assert parts[0] | parts[1] == set(range(10))
  assert not parts[0] & parts[1]
  # Five steps of two are an epoch twice.
  of_weights = [n for step in (0, 1, 2, 4, 6) for n in read[step]]
  assert sorted(of_weights) == sorted(2 * list(parts[0]))
  # A run that resumes reads on.
  assert labels(turns, 5, 4) == read[5:9]
  for step in (0, 3, 4):
    names = pipeline.example_names(
        Numbers(), batch_size=2, seed=3, step=step, turns=turns
    )
    assert [int(name) for name in names] == read[step]


def test_too_few_examples_are_not_divided():
  turns = pipeline.Turns(np.arange(11))
  with pytest.raises(ValueError, match='10 examples, too few'):
    labels(turns, 0, 1)


def test_examples_are_not_both_divided_and_taken_for_a_class():
  turns = pipeline.Turns(np.array([0, 1]))
  with pytest.raises(ValueError, match='set one of the two alone'):
    labels(turns, 0, 1, class_uniform=object())
