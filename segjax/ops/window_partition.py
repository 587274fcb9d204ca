"""Windows of a map, for attention within them."""

import jax
import jax.numpy as jnp
import numpy as np


def to_windows(x: jax.Array, window: tuple[int, int]) -> jax.Array:
  """Cuts a map into windows, row by row.

  Args:
    x: [B, H, W, C]; the sides are multiples of those of a window.
    window: (rows, columns) of a window.

  Returns:
    [B, N, rows * columns, C], the pixels of N windows.
  """
  batch, height, width, channels = x.shape
  rows, columns = window
  x = x.reshape(
      batch, height // rows, rows, width // columns, columns, channels
  )
  return x.swapaxes(2, 3).reshape(batch, -1, rows * columns, channels)


def from_windows(
    x: jax.Array, window: tuple[int, int], size: tuple[int, int]
) -> jax.Array:
  """Puts windows together, the inverse of `to_windows`.

  Args:
    x: [B, N, rows * columns, C].
    window: (rows, columns) of a window.
    size: (H, W) of the map.

  Returns:
    [B, H, W, C].
  """
  (rows, columns), (height, width) = window, size
  x = x.reshape(
      len(x), height // rows, width // columns, rows, columns, x.shape[-1]
  )
  return x.swapaxes(2, 3).reshape(len(x), height, width, x.shape[-1])


def relative_bias(table: jax.Array, window: tuple[int, int]) -> jax.Array:
  """Looks up the relative positions of all pairs of pixels of a window.

  It multiplies by ones and zeros, whose gradient needs no scatter.

  Args:
    table: [2 * R + 1, 2 * R + 1, D], rows and columns by which the first pixel
      lies below and right of the second, from -R on.
    window: (rows, columns) of a window, R + 1 at most.

  Returns:
    [D, P, P], P = rows * columns.
  """
  reach = len(table) // 2
  pick_row, pick_column = (
      np.float32(
          np.subtract.outer(np.arange(side), np.arange(side))[..., None]
          == np.arange(-reach, reach + 1)
      )
      for side in window
  )
  bias = jnp.einsum(
      'iak,jbl,kld->dijab',
      pick_row,
      pick_column,
      table.astype(jnp.float32),
      precision=jax.lax.Precision.HIGHEST,
  )
  pixels = window[0] * window[1]
  return bias.reshape(-1, pixels, pixels).astype(table.dtype)


def joined_by_shift(
    size: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]
) -> jax.Array:
  """Tells which pixels of a window were neighbours before a cyclic shift.

  The map was rolled up and to the left, so that windows of the last row and
  column have pixels from both ends of it.

  Args:
    size: (H, W) of the map.
    window: (rows, columns) of a window.
    shift: (rows, columns) of the shift.

  Returns:
    [N, P, P], whether two pixels of a window lie in the same part of the map.
  """
  # Computed where it is used: as a constant it would be as large as the scores.
  row, column = (
      (jnp.arange(side) >= side - step) & (step > 0)
      for side, step in zip(size, shift, strict=True)
  )
  part = 2 * row[:, None] + column.astype(jnp.int32)
  part = to_windows(part[None, :, :, None], window)[0, ..., 0]
  return part[:, :, None] == part[:, None]
