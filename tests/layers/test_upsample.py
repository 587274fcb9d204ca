import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.layers.upsample import Upsample
from segjax.ops.resize import resize


@pytest.mark.parametrize('mix', [True, False])
@pytest.mark.parametrize('factor', [2, 8])
def test_it_begins_as_bilinear_interpolation(factor, mix):
  x = jax.random.normal(jax.random.key(0), (2, 5, 7, 3))
  layer = Upsample(factor, padding=factor // 2, mix=mix)
  y, _ = layer.init_with_output(jax.random.key(1), x)
  expected = resize(x, (5 * factor, 7 * factor))
  assert y.shape == expected.shape
  inner = slice(factor, -factor)  # Beyond the border there is nothing.
  np.testing.assert_allclose(
      y[:, inner, inner], expected[:, inner, inner], atol=1e-5
  )


def test_a_pixel_is_stamped_with_the_kernel_as_it_is():
  x = np.zeros((1, 3, 3, 2), np.float32)
  x[0, 1, 1] = [1.0, 10.0]
  kernel = np.random.default_rng(0).normal(size=(4, 4, 2, 2))
  y = Upsample(2).apply({'params': {'kernel': jnp.asarray(kernel)}}, x)
  assert y.shape == (1, 8, 8, 2)
  np.testing.assert_allclose(
      y[0, 2:6, 2:6], kernel @ np.array([1.0, 10.0]), rtol=1e-5
  )


def test_without_mixing_a_channel_is_stamped_with_its_own_kernel():
  x = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32)
  kernel = np.random.default_rng(1).normal(size=(6, 6, 1, 2))
  y = Upsample(3, padding=1, mix=False).apply({'params': {'kernel': kernel}}, x)
  expected = np.zeros((12, 15, 2))
  for row, column in np.ndindex(3, 4):
    where = slice(3 * row, 3 * row + 6), slice(3 * column, 3 * column + 6)
    expected[where] += x[0, row, column] * kernel[:, :, 0]
  np.testing.assert_allclose(y[0], expected[1:-1, 1:-1], atol=1e-5)


def test_a_bias_is_there_where_it_is_asked_for():
  x = np.ones((1, 2, 2, 3), np.float32)
  assert set(Upsample(2).init(jax.random.key(0), x)['params']) == {'kernel'}
  y, variables = Upsample(2, bias=True).init_with_output(jax.random.key(0), x)
  params = variables['params']
  assert params['bias'].shape == (3,)
  shifted = Upsample(2, bias=True).apply(
      {'params': {**params, 'bias': jnp.ones(3)}}, x
  )
  np.testing.assert_allclose(shifted, y + 1)
