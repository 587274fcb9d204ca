import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import pool


def naive(x, size):
  """The definition, cell by cell."""
  rows, cols = size
  y = np.zeros((x.shape[0], rows, cols, x.shape[-1]), np.float64)
  for i in range(rows):
    for j in range(cols):
      top, bottom = i * x.shape[1] / rows, (i + 1) * x.shape[1] / rows
      left, right = j * x.shape[2] / cols, (j + 1) * x.shape[2] / cols
      y[:, i, j] = x[
          :,
          int(np.floor(top)) : int(np.ceil(bottom)),
          int(np.floor(left)) : int(np.ceil(right)),
      ].mean((1, 2))
  return y


@pytest.mark.parametrize('size', [(7, 7), (1, 1), (2, 3), (5, 9), (10, 18)])
def test_adaptive_pooling_takes_means_over_cells(size):
  x = np.asarray(jax.random.normal(jax.random.key(0), (2, 5, 9, 3)))
  y = pool.adaptive_avg_pool(x, size)
  np.testing.assert_allclose(y, naive(x, size), atol=1e-6)


def test_adaptive_pooling_keeps_the_type():
  x = jnp.ones((1, 4, 4, 1), jnp.bfloat16)
  assert pool.adaptive_avg_pool(x, (3, 3)).dtype == jnp.bfloat16
