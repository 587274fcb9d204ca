import jax
import jax.numpy as jnp
import numpy as np

from segjax import parallel
from segjax.ops.reduce import mean_over


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
