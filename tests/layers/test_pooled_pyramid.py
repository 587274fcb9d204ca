import jax
import numpy as np
import pytest

from segjax.layers.pooled_pyramid import PooledPyramid


def make_layer(parallel, size):
  """One channel, all kernels of ones, and norms that change nothing much."""
  layer = PooledPyramid(1, 1, parallel)
  x = np.random.default_rng(0).uniform(size=(1, *size, 1)).astype(np.float32)
  variables = jax.eval_shape(lambda: layer.init(jax.random.key(0), x, False))

  def value(path, leaf):
    name = path[-1].key
    fill = 0.0 if name in ('bias', 'mean') else 1.0
    if name == 'kernel' and leaf.shape[:2] == (3, 3):
      kernel = np.zeros(leaf.shape, np.float32)
      kernel[1, 1] = 1  # Each pixel by itself.
      return kernel
    return np.full(leaf.shape, fill, np.float32)

  return layer, jax.tree.map_with_path(value, variables), x


@pytest.mark.parametrize('parallel', [False, True])
def test_scales_are_added_one_to_the_next_or_all_to_the_first(parallel):
  layer, variables, x = make_layer(parallel, (1, 1))
  # In one pixel, k x k windows have a mean of 1 / k^2 of it.
  pooled = x[0, 0, 0, 0] * np.array([1 / 25, 1 / 81, 1 / 289, 1])
  first = x[0, 0, 0, 0]
  scales = first + (pooled if parallel else pooled.cumsum())
  expected = first + scales.sum() + first
  y = layer.apply(variables, x, False)
  np.testing.assert_allclose(y[0, 0, 0, 0], expected, rtol=1e-4)
