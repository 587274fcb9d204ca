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
# Rows that a spatial filter makes at a time, by one matrix product.
ROWS = 64


def spatial(width):
  """Returns the filter whose features are positions over `width` pixels.

  It works along columns, then rows, and cuts weights below 2e-8.
  """
  radius = math.ceil(6 * width)
  offsets = np.arange(ROWS + 2 * radius) - np.arange(ROWS)[:, None] - radius
  band = np.exp(-0.5 * (offsets / width) ** 2) * (abs(offsets) <= radius)
  band = band.astype(np.float32)

  def along_first(x):
    blocks = -(-len(x) // ROWS)
    rows = x.reshape(len(x), -1)
    rows = jnp.pad(rows, ((radius, radius + -len(x) % ROWS), (0, 0)))

    def block(i):
      near = jax.lax.dynamic_slice_in_dim(rows, i * ROWS, band.shape[1])
      return jnp.dot(band, near, precision=jax.lax.Precision.HIGHEST)

    y = jax.lax.map(block, jnp.arange(blocks))
    return y.reshape(-1, *x.shape[1:])[: len(x)]

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
