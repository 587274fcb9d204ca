import jax
import jax.numpy as jnp
import numpy as np

from segjax.layers.attention import Attention


def draw():
  keys = jax.random.split(jax.random.key(0))
  x = jax.random.normal(keys[0], (2, 3, 4, 5))
  return x, jax.random.normal(keys[1], (2, 4, 6, 3))


def test_positions_gather_values_from_the_grids_of_another_map():
  x, source = draw()
  layer = Attention(4, 7, bins=(1, 2))
  variables = layer.init(jax.random.key(1), x, source, False)
  y = layer.apply(variables, x, source, False)

  params = variables['params']
  query, key = (
      jax.nn.relu(
          features
          @ params[name]['conv0']['conv']['kernel'][0, 0]
          / np.sqrt(1 + 1e-5)
      )
      for name, features in (('query', x), ('key', source))
  )
  value = source @ params['value']['kernel'][0, 0]

  def cells(z):  # The mean of all, then those of the four quarters, by rows.
    quarters = z.reshape(2, 2, 2, 2, 3, -1).mean((2, 4)).reshape(2, 4, -1)
    return jnp.concatenate([z.mean((1, 2))[:, None], quarters], 1)

  scores = jnp.einsum('bhwd,bkd->bhwk', query, cells(key)) / 2
  expected = jnp.einsum('bhwk,bkv->bhwv', jax.nn.softmax(scores), cells(value))
  np.testing.assert_allclose(y, expected, atol=1e-5)


def test_running_statistics_of_a_shared_projection_move_twice():
  x, _ = draw()
  layer = Attention(4, 7, shared=True)
  variables = layer.init(jax.random.key(1), x, x, False)
  assert set(variables['params']) == {'query', 'value'}
  _, state = layer.apply(variables, x, x, True, mutable=['batch_stats'])
  kernel = variables['params']['query']['conv0']['conv']['kernel'][0, 0]
  mean = (x @ kernel).mean((0, 1, 2))
  np.testing.assert_allclose(
      state['batch_stats']['query']['conv0']['norm']['mean'],
      (1 - 0.9**2) * mean,
      atol=1e-6,
  )
