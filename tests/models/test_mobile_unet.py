import jax
import jax.numpy as jnp
import pytest

from segjax import models


def initialised(size=(32, 64), **fields):
  """Outputs and variables, as shapes."""
  model = models.create('mobile_unet', 5, **fields)
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), image)


def test_norms_have_no_scale_and_convolutions_a_bias():
  _, variables = initialised(width=4)
  block = variables['params']['body']['down2_1']
  assert set(block['depthwise']['norm']) == {'bias'}
  assert set(block['depthwise']['conv']) == {'kernel', 'bias'}
  assert block['depthwise']['conv']['kernel'].shape == (3, 3, 1, 4)
  first = variables['params']['body']['down1_1']
  assert first['conv']['kernel'].shape == (1, 1, 3, 4)


def test_skips_add_no_parameters():
  _, with_skips = initialised(width=4)
  _, without = initialised(width=4, skip=False)
  assert with_skips == without


def test_statistics_of_a_batch_are_refused_at_test():
  with pytest.raises(ValueError, match='has 2 images'):
    initialised(width=4, batch_at_test=True)
