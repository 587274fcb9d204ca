import numpy as np
import pytest

from segjax.data import folds


def presence(length=103, num_classes=6, seed=0):
  """Examples that show each class, the later ones ever more rarely."""
  shares = 0.8 ** np.arange(num_classes) ** 2
  shares[-1] = 0.05
  return np.random.default_rng(seed).random((length, num_classes)) < shares


def test_folds_are_of_one_size_and_each_shows_every_class_alike():
  present = presence()
  numbers = folds.divide(present, 5, seed=1)
  sizes = np.bincount(numbers, minlength=6)
  assert sizes[0] == 0
  assert set(sizes[1:]) == {20, 21}
  showing = np.stack([present[numbers == fold].sum(0) for fold in range(1, 6)])
  # Equal shares but for what cannot be divided, and one more for full folds.
  assert (showing.max(0) - showing.min(0)).max() <= 2
  drawn = np.random.default_rng(1).permutation(numbers)
  at_random = np.stack([present[drawn == f].sum(0) for f in range(1, 6)])
  assert np.ptp(showing, 0).sum() < 0.5 * np.ptp(at_random, 0).sum()


def test_folds_depend_on_the_seed_alone():
  present = presence()
  first = folds.divide(present, 5, seed=1)
  np.testing.assert_array_equal(folds.divide(present, 5, seed=1), first)
  assert (folds.divide(present, 5, seed=2) != first).any()


def test_examples_without_any_class_are_divided_too():
  numbers = folds.divide(np.zeros((7, 3)), 3, seed=0)
  assert sorted(np.bincount(numbers)[1:]) == [2, 2, 3]


@pytest.mark.parametrize('text', ['0/5', '6/5', '1/1', '2', '1/x', '-1/5'])
def test_what_is_no_fold_is_refused(text):
  with pytest.raises(ValueError, match=f"fold='{text}'.*'1/5' to '5/5'"):
    folds.parse(text)


def test_more_folds_than_examples_are_refused():
  with pytest.raises(ValueError, match='4 examples, too few for 5 folds'):
    folds.divide(np.ones((4, 2)), 5, seed=0)
