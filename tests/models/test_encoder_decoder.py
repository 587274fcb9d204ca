import jax
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.layers.norm import slim_batch_norm
from segjax.models.encoder_decoder import Up


def test_parameters_are_as_many_as_those_of_the_suite():
  model = models.create('encoder_decoder', 5)
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)
  count = sum(x.size for x in jax.tree.leaves(variables['params']))
  assert round(count / 1e6, 2) == 34.97


def test_up_spreads_pixels_to_the_right_and_below():
  up = Up(1, 'transposed', slim_batch_norm)
  x = jnp.zeros((1, 2, 3, 1)).at[0, 0, 1, 0].set(1.0)
  variables = up.init(jax.random.key(0), x, False)
  conv = variables['params']['conv']
  conv['kernel'] = jnp.arange(1.0, 10).reshape(3, 3, 1, 1)
  conv['bias'] = jnp.full((1,), -4.0)
  y = up.apply(variables, x, False)[0, :, :, 0]
  expected = np.zeros((4, 6))
  expected[:3, 2:5] = np.maximum(np.arange(1.0, 10).reshape(3, 3) - 4, 0)
  np.testing.assert_allclose(y, expected / np.sqrt(1 + 1e-3), rtol=1e-6)
  # The first ReLU stands before the norm, whose mean it raises above 0.
  variables['batch_stats']['norm']['mean'] = jnp.ones((1,))
  y = up.apply(variables, x, False)[0, :, :, 0]
  assert np.count_nonzero(y) == 4
