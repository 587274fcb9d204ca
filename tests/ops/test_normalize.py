from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import parallel
from segjax.ops.normalize import normalize_batch

EPSILON = 1e-3


def flax(x, scale, bias, axis=None):
  """Flax's layer, and the statistics that it leaves."""
  layer = nn.BatchNorm(
      use_running_average=False,
      momentum=0,
      epsilon=EPSILON,
      axis_name=axis,
      use_fast_variance=False,
  )
  variables = {
      'params': {'scale': scale, 'bias': bias},
      'batch_stats': {'mean': jnp.zeros(3), 'var': jnp.ones(3)},
  }
  y, changed = layer.apply(variables, x, mutable='batch_stats')
  return y, changed['batch_stats']['mean'], changed['batch_stats']['var']


def ours(x, scale, bias, axis=None):
  assert parallel.axis() == axis
  return normalize_batch(x, scale, bias, EPSILON)


def result(norm, x, scale, bias, dy, axis=None):
  """What a norm returns, and its gradients; it pulls on `y` alone."""

  def pull(*args):
    y, *statistics = norm(*args, axis)
    return (y.astype(jnp.float32) * dy).sum(), (y, *statistics)

  gradients, out = jax.grad(pull, argnums=(0, 1, 2), has_aux=True)(
      x, scale, bias
  )
  return *out, *gradients


@pytest.fixture(name='given')
def _given():
  """An image of three channels for each device, unlike those of others."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(8, 2, 5, 4, 3)) * [1, 0.1, 3] + [0, 2, -5]
  x *= np.arange(1, 9)[:, None, None, None, None]
  scale, bias = rng.normal(size=(2, 3))
  dy = rng.normal(size=x.shape)
  return tuple(np.float32(array) for array in (x, scale, bias, dy))


@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [('float32', 2e-5), ('bfloat16', 1e-2)]
)
def test_it_is_flax(given, dtype, tolerance):
  x, scale, bias, dy = given
  args = *(jnp.asarray(array, dtype) for array in (x[0], scale, bias)), dy[0]
  for got, want in zip(result(ours, *args), result(flax, *args), strict=True):
    assert got.dtype == want.dtype
    np.testing.assert_allclose(
        np.float32(got), np.float32(want), atol=tolerance, rtol=tolerance
    )


def test_the_batch_is_that_of_all_devices(given):
  def mapped(norm):
    def one(*args):
      return result(norm, *args, axis=parallel.AXIS)

    return jax.pmap(one, parallel.AXIS, in_axes=(0, None, None, 0))(*given)

  for got, want in zip(mapped(ours), mapped(flax), strict=True):
    np.testing.assert_allclose(got, want, atol=1e-4, rtol=1e-4)


def test_few_values_that_are_close_keep_their_variance():
  x = np.random.default_rng(0).normal(size=(2, 1, 1, 3)).astype(np.float32)
  x = np.float32(100) + x / 100
  _, mean, variance = normalize_batch(x, jnp.ones(3), jnp.zeros(3), EPSILON)
  exact = np.float64(x)
  np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-6)
  np.testing.assert_allclose(variance, exact.var((0, 1, 2)), rtol=1e-2)


def test_a_constant_image_has_no_variance_and_a_finite_gradient(given):
  _, scale, bias, dy = given
  x = jnp.full((2, 5, 4, 3), 1000.1)
  y, _, variance, *gradients = result(ours, x, scale, bias, dy[0])
  np.testing.assert_array_equal(variance >= 0, True)
  assert all(np.isfinite(array).all() for array in (y, *gradients))


def test_those_that_are_alike_are_traced_once(given):
  x, scale, bias, _ = given

  def chain(x):
    for _ in range(4):
      x, *_ = normalize_batch(x, scale, bias, EPSILON)
    return x.sum()

  text = jax.jit(jax.value_and_grad(chain)).lower(x[0]).as_text()
  assert text.count('func.func private @_normalized') == 1
  assert text.count('call @_normalized') == 4
