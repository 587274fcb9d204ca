import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.layers.encoding import Encoding

SHAPE = 2, 5, 7, 6  # [B, H, W, D]
CODEWORDS = 4


def naive(params, x):
  """Every residual, one by one."""
  residuals = x[..., None, :] - params['codewords']  # [B, H, W, K, D]
  distance = (residuals**2).sum(-1)
  share = jax.nn.softmax(params['scale'] * distance)
  return (share[..., None] * residuals).sum((1, 2)).swapaxes(1, 2)


def apply(params, x):
  return Encoding(CODEWORDS).apply({'params': params}, x)


def make(offset=0.0, spread=1.0):
  """Codewords, and features around them, all `offset` from 0."""
  rng = np.random.default_rng(0)
  codewords = offset + spread * rng.normal(size=(CODEWORDS, SHAPE[-1]))
  picked = codewords[rng.integers(0, CODEWORDS, SHAPE[:3])]
  x = picked + 0.3 * spread * rng.normal(size=SHAPE)
  scale = rng.uniform(-1.0, 0.0, CODEWORDS) / spread**2
  params = {'codewords': codewords, 'scale': scale}
  return jax.tree.map(np.float32, (params, x))


def test_encoding_and_gradient_equal_those_of_all_residuals():
  params, x = make()
  found, backward = jax.vjp(jax.jit(apply), params, x)
  expected, naive_backward = jax.vjp(naive, params, x)
  assert found.shape == (SHAPE[0], SHAPE[-1], CODEWORDS)
  np.testing.assert_allclose(found, expected, atol=1e-5)
  cotangent = jnp.cos(expected)
  jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4),
      backward(cotangent),
      naive_backward(cotangent),
  )


@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [('float32', 1e-3), ('bfloat16', 0.02)]
)
def test_small_residuals_of_large_features_keep_their_digits(dtype, tolerance):
  # Squares are 600 times as large as squared distances.
  params, x = make(offset=8.0, spread=0.33)
  params, x = jax.tree.map(lambda a: jnp.asarray(a, dtype), (params, x))
  exact = jax.tree.map(lambda a: np.asarray(a, np.float64), (params, x))
  with jax.enable_x64():
    expected = np.asarray(naive(*exact))
  found = jax.jit(apply)(params, x)
  assert found.dtype == dtype
  error = (
      np.abs(np.asarray(found, np.float64) - expected).max() / expected.std()
  )
  assert error < tolerance


def test_neither_it_nor_its_gradient_holds_all_residuals():
  x = jax.ShapeDtypeStruct((2, 32, 32, 64), jnp.float32)
  layer = Encoding(32)
  variables = jax.eval_shape(layer.init, jax.random.key(0), x)
  gradient = jax.jit(jax.grad(lambda *a: layer.apply(*a).sum(), (0, 1)))
  memory = gradient.lower(variables, x).compile().memory_analysis()
  residuals = 32 * x.size * x.dtype.itemsize
  assert memory.temp_size_in_bytes < residuals / 4


def test_codewords_are_small_and_scales_negative_at_first():
  params = Encoding(32).init(
      jax.random.key(0), np.zeros((1, 1, 1, 512), np.float32)
  )
  params = params['params']
  assert params['codewords'].shape == (32, 512)
  bound = 1 / np.sqrt(32 * 512)
  assert 0.9 * bound < np.abs(params['codewords']).max() <= bound
  assert (params['scale'] >= -1).all()
  assert (params['scale'] <= 0).all()
