import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models.danet import ChannelAttention


def draw(shape, scale=1.0):
  rng = np.random.default_rng(0)
  return (scale * rng.normal(size=shape)).astype(np.float32)


def attend(x, gamma=1.0):
  return ChannelAttention().apply({'params': {'gamma': np.float32(gamma)}}, x)


def test_channels_gather_from_those_that_are_least_alike():
  x = draw((2, 3, 4, 5), 0.3)
  expected = x.copy()
  for n in range(2):
    products = np.einsum('hwc,hwd->cd', x[n], x[n])
    for c in range(5):
      weights = np.exp(products[c].max() - products[c])
      weights /= weights.sum()
      for d in range(5):
        expected[n, ..., c] += 0.5 * weights[d] * x[n, ..., d]
  np.testing.assert_allclose(attend(x, 0.5), expected, rtol=1e-5, atol=1e-6)


def test_channel_attention_starts_as_the_identity():
  x = draw((1, 3, 4, 5))
  y, variables = ChannelAttention().init_with_output(jax.random.key(0), x)
  assert variables['params']['gamma'] == 0
  np.testing.assert_array_equal(y, x)


def test_large_products_have_a_finite_gradient():
  x = draw((1, 3, 4, 5), 1e10)
  assert np.isfinite(attend(x)).all()
  assert np.isfinite(jax.grad(lambda x: attend(x).sum())(x)).all()


def test_products_are_float32_whatever_the_type():
  # Of two products that are equal in bfloat16, the smaller one's channel weighs
  # most.
  x = np.ones((1, 16, 16, 3), np.float32)
  x[..., 1] += 2**-7
  expected = attend(x)
  y = attend(jnp.bfloat16(x))
  assert y.dtype == jnp.bfloat16
  np.testing.assert_allclose(y.astype(np.float32), expected, rtol=1e-2)


@pytest.mark.parametrize('aux_level', ['c4', ''])
def test_each_attention_has_a_classifier_of_its_own(aux_level):
  model = models.create(
      'danet', 4, backbone='resnet/tiny', features=8, aux_level=aux_level
  )
  image = jax.ShapeDtypeStruct((2, 33, 41, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  names = {'position', 'channel', aux_level} - {''}
  assert set(out['aux']) == names
  assert {x.shape for x in out['aux'].values()} == {(2, 33, 41, 4)}
  assert ('aux' in variables['params']) == bool(aux_level)
