import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from segjax.models import cacnet


@pytest.mark.parametrize('dilation', [1, 2])
def test_each_image_has_kernels_of_its_own(dilation):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 7, 6, 3)).astype(np.float32)
  kernels = rng.normal(size=(2, 9, 3)).astype(np.float32)
  result = cacnet.convolve_each(x, kernels, dilation)
  for i, k in np.ndindex(2, 3):
    side = 2 * dilation + 1
    spread = np.zeros((side, side))
    spread[::dilation, ::dilation] = kernels[i, :, k].reshape(3, 3)
    expected = scipy.ndimage.correlate(x[i, ..., k], spread, mode='constant')
    np.testing.assert_allclose(result[i, ..., k], expected, atol=1e-5)


def test_a_kernel_is_a_mean_of_keys_that_its_query_weighs():
  layer = cacnet.ContextAdaptiveConvolution(3, (1, 2))
  x = jax.random.normal(jax.random.key(0), (1, 4, 5, 2))
  variables = layer.init(jax.random.key(1), x)
  params = variables['params']
  # Tap 4 looks at one position, all others at the whole map alike.
  query = jnp.zeros((1, 1, 2, 9)).at[..., 0, 4].set(1e4)
  params['query']['kernel'] = query
  params['key'] |= {'kernel': jnp.eye(2)[None, None], 'bias': jnp.ones(2)}
  weights, kernels = layer.apply(variables, x)
  keys = np.asarray(x).reshape(-1, 2) + 1
  np.testing.assert_allclose(
      kernels[0, 4], keys[keys[:, 0].argmax()], rtol=1e-5
  )
  np.testing.assert_allclose(kernels[0, 0], keys.mean(0), rtol=1e-5)
  assert weights.shape == x.shape
  assert (weights > 0).all()
  assert (weights < 2).all()
