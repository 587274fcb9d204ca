"""Sums over all pixels with Gaussian weights, exact up to rounding.

A filter here is a function of x [H, W, C]: pixel i of its result is the sum
over all pixels j, i among them, of exp(-|f_i - f_j|^2 / 2) x_j, with features f
of the filter.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

# Weights that are computed at a time: 64 MB of them.
BLOCK = 2**24


def spatial(width):
  """Returns the filter whose features are positions over `width` pixels.

  It works along columns, then rows, and cuts weights below 2e-8.
  """
  radius = math.ceil(6 * width)
  taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / width) ** 2)

  def along_first(x):
    n, reach = len(x), min(radius, len(x) - 1)
    padded = jnp.pad(x, ((reach, reach), (0, 0), (0, 0)))
    middle = taps[radius - reach : radius + reach + 1]
    return sum(
        np.float32(tap) * padded[i : i + n] for i, tap in enumerate(middle)
    )

  return lambda x: along_first(along_first(x).swapaxes(0, 1)).swapaxes(0, 1)


def all_pairs(feats):
  """Returns the filter with any features, [H, W, F], for small images.

  Time grows with the square of the pixels; memory does not, because weights
  are computed in blocks, and once more for the gradient. Features have none.
  """
  points = jax.lax.stop_gradient(feats).reshape(-1, feats.shape[-1])
  rows = max(1, BLOCK // len(points))

  def apply(x):
    values = x.reshape(-1, x.shape[-1])

    @jax.checkpoint
    def at(point):
      distance = jnp.square(points - point).sum(-1)
      return jnp.dot(
          jnp.exp(-0.5 * distance), values, precision=jax.lax.Precision.HIGHEST
      )

    return jax.lax.map(at, points, batch_size=rows).reshape(x.shape)

  return apply
