"""Means that count every valid element of the global batch once."""

import jax.numpy as jnp

from segjax import parallel


def mean_over(total, count):
  """Returns `total / count`, both summed over all devices, or 0 if count is 0.

  Devices see different numbers of valid pixels; the mean of their means would
  give the pixels of a nearly empty image more weight. Here the local sum is
  divided by the average count per device, so that averaging the results (and
  the gradients) over devices equals the mean over the global batch.

  Args:
    total: scalar, this device's sum.
    count: scalar, what this device's sum is a sum of; has no gradient.
  """
  count = parallel.pmean(count)
  return jnp.where(count > 0, total / jnp.where(count > 0, count, 1.0), 0.0)
