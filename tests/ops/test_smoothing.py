import jax
import numpy as np
import pytest

from segjax.ops.smoothing import add_filtered
from segjax.ops.smoothing import mix_grids


def draw(*shape):
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('side', [2, 3])
def test_each_grid_becomes_a_sum_of_all_grids(side):
  x, weights = draw(2, 6, 12, 3), draw(side**2, side**2)
  y = np.asarray(mix_grids(x, weights))
  grids = [(i, j) for i in range(side) for j in range(side)]
  for new, (row, column) in enumerate(grids):
    expected = sum(
        weights[old, new] * x[:, i::side, j::side]
        for old, (i, j) in enumerate(grids)
    )
    np.testing.assert_allclose(
        y[:, row::side, column::side], expected, rtol=1e-4, atol=1e-5
    )


def test_a_filter_is_the_same_for_all_channels():
  x, weights = draw(2, 5, 6, 3), draw(3, 3)
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  expected = x + sum(
      weights[i, j] * padded[:, i : i + 5, j : j + 6]
      for i, j in np.ndindex(3, 3)
  )
  y = jax.jit(add_filtered)(x, weights)
  np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
