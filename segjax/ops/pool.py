"""Pooling that Flax does not have, equal to PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np


def adaptive_avg_pool(x, size):
  """Means over a grid of cells that cover the two spatial axes.

  Where the sizes do not divide, neighbouring cells overlap.

  Args:
    x: [B, H, W, C], any float type; the arithmetic is float32.
    size: (rows, columns) of the grid.

  Returns:
    [B, rows, columns, C] in the type of `x`.

  References:
    PyTorch's `adaptive_avg_pool2d`.
  """
  y = jnp.einsum(
      'rh,bhwc,sw->brsc',
      cells(x.shape[1], size[0]),
      x.astype(jnp.float32),
      cells(x.shape[2], size[1]),
      precision=jax.lax.Precision.HIGHEST,
  )
  return y.astype(x.dtype)


def cells(old, new):
  """Returns the matrix of means over `new` cells along one axis, [new, old]."""
  matrix = np.zeros((new, old), np.float32)
  for i in range(new):
    start, end = i * old // new, -(-(i + 1) * old // new)
    matrix[i, start:end] = 1 / (end - start)
  return matrix
