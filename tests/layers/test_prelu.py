import jax
import jax.numpy as jnp
import numpy as np

from segjax.layers.prelu import PReLU


def test_each_channel_has_a_slope_for_negative_values():
  x = np.float32([[-2, -2, -2], [3, 3, 3], [0, -1, 5]])
  variables = {'params': {'slope': jnp.float32([0.5, -1.0, 0.0])}}
  expected = [[-1, 2, 0], [3, 3, 3], [0, 1, 5]]
  np.testing.assert_array_equal(PReLU().apply(variables, x), expected)


def test_slopes_start_at_init_and_are_trained():
  x = np.float32([[-2.0, 3.0], [-4.0, -1.0]])
  key = jax.random.key(0)
  y, _ = PReLU().init_with_output(key, x)
  np.testing.assert_array_equal(y, np.where(x < 0, x / 4, x))
  y, variables = PReLU(0.0).init_with_output(key, x)
  np.testing.assert_array_equal(y, np.maximum(x, 0))
  gradient = jax.grad(lambda v: PReLU().apply(v, x).sum())(variables)
  np.testing.assert_array_equal(gradient['params']['slope'], [-6.0, -1.0])
