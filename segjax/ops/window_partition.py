"""Windows of a map, for attention within them."""

import jax
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


def relative_positions(window: tuple[int, int], reach: int) -> np.ndarray:
  """Returns the row of a table of relative positions, for pairs of pixels.

  Args:
    window: (rows, columns) of a window.
    reach: largest distance along an axis that the table has rows for: it has
      (2 * reach + 1) ** 2 rows, those of the first axis one after another.

  Returns:
    [P, P], P = rows * columns: the row for the position of the first pixel
    seen from the second.
  """
  places = np.stack(np.indices(window).reshape(2, -1), -1)
  offset = places[:, None] - places + reach
  return offset[..., 0] * (2 * reach + 1) + offset[..., 1]


def joined_by_shift(
    size: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]
) -> np.ndarray:
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
  parts = [
      np.int32(np.arange(side) >= side - step if step else np.zeros(side))
      for side, step in zip(size, shift, strict=True)
  ]
  part = 2 * parts[0][:, None] + parts[1]
  part = to_windows(part[None, :, :, None], window)[0, ..., 0]
  return part[:, :, None] == part[:, None]
