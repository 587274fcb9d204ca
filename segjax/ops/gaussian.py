"""Exact Gaussian filters over all pixels of an image.

A filter is a function of x [H, W, C]. Pixel i of its result is the sum over all
pixels j, including i, of exp(-|f_i - f_j|^2 / 2) x_j, where f are the features
of the filter.
"""

from collections.abc import Callable
import math

import jax
import jax.numpy as jnp
import numpy as np

# Number of weights that are computed at a time; in float32 they take 64 MB.
BLOCK = 2**24
# Number of rows that a spatial filter computes by one matrix product.
ROWS = 64


def spatial(width: float) -> Callable[[jax.Array], jax.Array]:
  """Returns the filter of positions, a Gaussian blur.

  It is separable, and weights below 2e-8 are cut off.

  Args:
    width: standard deviation in pixels.
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


def all_pairs(feats: jax.Array) -> Callable[[jax.Array], jax.Array]:
  """Returns the filter of any features [H, W, F], for small images.

  The time grows with the square of the number of pixels. The memory does not,
  because weights are computed in blocks and again for the gradient. There is no
  gradient to the features.
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
