import jax
import jax.numpy as jnp
import numpy as np

from segjax.layers.psp import PyramidPooling
from segjax.ops.resize import resize


def test_features_come_first_and_the_mean_of_all_next():
  x = jax.random.normal(jax.random.key(0), (2, 9, 13, 4))
  layer = PyramidPooling(3, bins=(1, 2))
  variables = layer.init(jax.random.key(1), x, False)
  out = layer.apply(variables, x, False)
  assert out.shape == (2, 9, 13, 4 + 2 * 3)
  np.testing.assert_array_equal(out[..., :4], x)
  kernel = variables['params']['level0']['conv']['kernel'][0, 0]
  mean = jax.nn.relu(x.mean((1, 2)) @ kernel / np.sqrt(1 + 1e-5))
  np.testing.assert_allclose(
      out[..., 4:7],
      jnp.broadcast_to(mean[:, None, None], (2, 9, 13, 3)),
      atol=1e-6,
  )


def test_a_grid_that_is_enlarged_first_is_projected_pixel_by_pixel():
  x = jax.random.normal(jax.random.key(0), (2, 6, 8, 4))
  first = PyramidPooling(3, bins=(2,), enlarge_first=True)
  variables = first.init(jax.random.key(1), x, False)
  out, changed = first.apply(variables, x, True, mutable=['batch_stats'])
  grid = x.reshape(2, 2, 3, 2, 4, 4).mean((2, 4))
  enlarged = resize(grid, (6, 8))
  y = enlarged @ variables['params']['level0']['conv']['kernel'][0, 0]
  mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
  expected = jax.nn.relu((y - mean) / np.sqrt(variance + 1e-5))
  np.testing.assert_allclose(out[..., 4:], expected, atol=1e-4)
  statistics = changed['batch_stats']['level0']['norm']
  np.testing.assert_allclose(statistics['mean'], 0.1 * mean, atol=1e-6)


def test_features_may_come_last_behind_grids_without_norm():
  x = jax.random.normal(jax.random.key(0), (1, 4, 6, 3))
  layer = PyramidPooling(
      2, bins=(2, 1), norm=None, act=None, features_last=True
  )
  variables = layer.init(jax.random.key(1), x, False)
  out = layer.apply(variables, x, False)
  np.testing.assert_array_equal(out[..., 4:], x)
  kernel = variables['params']['level1']['conv']['kernel'][0, 0]
  mean = jnp.broadcast_to(x.mean((1, 2)) @ kernel, (1, 4, 6, 2))
  np.testing.assert_allclose(out[..., 2:4], mean, atol=1e-6)
