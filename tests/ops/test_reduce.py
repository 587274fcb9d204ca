import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import parallel
from segjax.ops.reduce import mean_over
from segjax.ops.reduce import ratio
from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum


def test_mean_is_the_total_over_the_count():
  assert mean_over(jnp.float32(6.0), jnp.float32(4.0)) == 1.5


def test_mean_of_nothing_is_zero_and_so_is_its_gradient():
  value, gradient = jax.value_and_grad(
      lambda x: mean_over(0 * x, jnp.float32(0.0))
  )(3.0)
  assert value == 0
  assert gradient == 0


def test_mean_of_device_means_is_the_mean_over_all_elements():
  counts = np.array([5, 0, 1, 7, 2, 0, 9, 3], np.float32)
  totals = np.random.default_rng(0).normal(size=8).astype(np.float32) * counts

  def step(scale, total, count):
    local = jax.value_and_grad(lambda s: mean_over(s * total, count))
    return parallel.pmean(local(scale))

  value, gradient = jax.pmap(step, parallel.AXIS, in_axes=(None, 0, 0))(
      2.0, totals, counts
  )
  mean = totals.sum() / counts.sum()
  np.testing.assert_allclose(value, np.full(8, 2 * mean), rtol=1e-6)
  np.testing.assert_allclose(gradient, np.full(8, mean), rtol=1e-6)


def test_mean_of_nothing_on_any_device_is_zero():
  zeros = np.zeros(8, np.float32)
  means = jax.pmap(mean_over, parallel.AXIS)(zeros, zeros)
  np.testing.assert_array_equal(means, zeros)


def test_ratio_to_nothing_is_zero_and_so_is_its_gradient():
  values, gradients = jax.vmap(jax.value_and_grad(ratio))(
      jnp.array([3.0, 0.0]), jnp.array([2.0, 0.0])
  )
  np.testing.assert_array_equal(values, [1.5, 0])
  np.testing.assert_array_equal(gradients, [0.5, 0])


def test_regions_are_images_or_the_batch():
  x = np.arange(48.0).reshape(2, 3, 4, 2)
  np.testing.assert_allclose(region_sum(x, per_image=True), x.sum((1, 2)))
  np.testing.assert_allclose(region_sum(x, per_image=False), [x.sum((0, 1, 2))])


def test_images_without_a_valid_pixel_are_not_in_the_mean():
  valid = np.zeros((3, 2, 2, 1), bool)
  x = jnp.array([1.0, 2.0, 6.0])
  assert region_mean(x, valid, per_image=True) == 0
  valid[1:, 0, 0] = True
  assert region_mean(x, valid, per_image=True) == 4
  assert region_mean(x[:1], valid, per_image=False) == 1


@pytest.mark.parametrize('per_image', [False, True])
def test_what_is_not_linear_in_sums_is_global_on_devices(per_image):
  x = np.random.default_rng(0).normal(size=(8, 2, 3, 2)).astype(np.float32)
  valid = np.arange(8).reshape(8, 1, 1, 1) < np.full((8, 2, 3, 1), 5)

  def loss(x, valid):
    sums = region_sum(jnp.sin(x) * valid, per_image)
    return region_mean(jnp.square(sums).sum(-1), valid, per_image)

  value, gradient = jax.value_and_grad(loss)(x, valid)
  values, gradients = jax.pmap(jax.value_and_grad(loss), parallel.AXIS)(
      x[:, None], valid[:, None]
  )
  np.testing.assert_allclose(values.mean(), value, rtol=1e-6)
  np.testing.assert_allclose(gradients[:, 0] / 8, gradient, atol=1e-6)
