import numpy as np
import pytest

from segjax.ops.position_table import METHODS
from segjax.ops.position_table import resize_table


def table(*grid):
  shape = (1, 1 + grid[0] * grid[1], 3)
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('method', METHODS)
def test_the_class_token_keeps_its_position(method):
  old = table(4, 6)
  new = resize_table(old, (4, 6), (7, 5), method)
  assert new.shape == (1, 36, 3)
  np.testing.assert_array_equal(new[:, 0], old[:, 0])


@pytest.mark.parametrize('method', METHODS)
def test_rows_stay_rows(method):
  rows = np.repeat(np.arange(4.0, dtype=np.float32), 6).reshape(1, 24, 1)
  new = resize_table(rows, (4, 6), (9, 5), method).reshape(9, 5)
  np.testing.assert_allclose(new, new[:, :1].repeat(5, 1), atol=1e-5)
  assert (np.diff(new[1:-1, 0]) > 0).all()


@pytest.mark.parametrize('method', METHODS)
def test_the_same_grid_changes_nothing(method):
  old = table(4, 6)
  np.testing.assert_array_equal(resize_table(old, (4, 6), (4, 6), method), old)


def test_only_antialiasing_sees_every_position_when_it_shrinks():
  grid = np.zeros((12, 12), np.float32)
  grid[::6, ::6] = 1.0
  flat = grid.reshape(1, 144, 1)
  seen = {m: resize_table(flat, (12, 12), (2, 2), m).sum() for m in METHODS}
  assert seen['bilinear'] == seen['bicubic'] == 0
  assert seen['antialias'] > 0.05


def test_an_unknown_method_is_refused():
  with pytest.raises(ValueError, match='Known: bilinear, bicubic, antialias'):
    resize_table(table(2, 2), (2, 2), (4, 4), 'nearest')
