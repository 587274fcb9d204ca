from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models.retinal_dilatednet import Units


def test_a_unit_normalises_what_the_relu_leaves():
  x = jax.random.normal(jax.random.key(0), (4, 9, 13, 3))
  units = Units(5, 1)
  out, variables = units.init_with_output(jax.random.key(1), x, True)
  assert (out < -0.1).any()
  np.testing.assert_allclose(out.mean((0, 1, 2)), 0.0, atol=1e-5)
  conv = nn.Conv(5, (3, 3)).apply({'params': variables['params']['conv1']}, x)
  lowest = out.min((0, 1, 2))
  assert np.array_equal(out == lowest, np.asarray(conv) <= 0)


@pytest.mark.parametrize('size', [(64, 96), (57, 89), (60, 91)])
def test_images_of_any_size_meet_their_stages(size):
  model = models.create('retinal_dilatednet', 2, features=4)
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  out, collections = jax.eval_shape(
      lambda key, x: model.init_with_output(
          key, x, capture_intermediates=True, mutable=True
      ),
      jax.random.key(0),
      image,
  )
  assert out['logits'].shape == (1, *size, 2)
  bottom = collections['intermediates']['image3']['__call__'][0]
  assert bottom.shape == (1, 8, 12, 32)
