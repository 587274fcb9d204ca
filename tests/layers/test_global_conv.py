import jax
import numpy as np
import pytest
from scipy import signal

from segjax.layers.global_conv import BoundaryRefinement
from segjax.layers.global_conv import GlobalConv


def draw(layer, x):
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
  return jax.tree.map(
      lambda v: rng.normal(size=v.shape).astype(np.float32), shapes
  )


def test_a_global_convolution_has_a_dense_kernel_of_two_products():
  layer = GlobalConv(2, kernel=5)
  x = np.random.default_rng(1).normal(size=(1, 4, 9, 3)).astype(np.float32)
  variables = draw(layer, x)
  params = variables['params']
  for line in params.values():
    line['bias'] *= 0
  left = np.einsum(
      'hci,wio->hwco',
      params['left1']['kernel'][:, 0],
      params['left2']['kernel'][0],
  )
  right = np.einsum(
      'wci,hio->hwco',
      params['right1']['kernel'][0],
      params['right2']['kernel'][:, 0],
  )
  expected = np.zeros((4, 9, 2))
  for c, k in np.ndindex(3, 2):
    expected[..., k] += signal.correlate2d(
        x[0, ..., c], (left + right)[..., c, k], 'same'
    )
  np.testing.assert_allclose(
      layer.apply(variables, x)[0], expected, rtol=1e-4, atol=1e-4
  )


def test_an_even_kernel_is_refused():
  with pytest.raises(ValueError, match='kernel=6: .* odd'):
    jax.eval_shape(
        GlobalConv(2, 6).init, jax.random.key(0), np.ones((1, 8, 8, 3))
    )


def test_refinement_adds_to_scores_of_either_sign():
  layer = BoundaryRefinement()
  x = np.random.default_rng(1).normal(size=(1, 5, 6, 2)).astype(np.float32)
  variables = draw(layer, x)
  assert (layer.apply(variables, x) < 0).any()
  variables['params']['conv2'] = jax.tree.map(
      np.zeros_like, variables['params']['conv2']
  )
  np.testing.assert_array_equal(layer.apply(variables, x), x)
