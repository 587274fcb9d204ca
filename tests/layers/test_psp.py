import jax
import jax.numpy as jnp
import numpy as np

from segjax.layers.psp import PyramidPooling


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
