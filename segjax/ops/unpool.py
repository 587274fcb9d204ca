"""Max pooling with the positions of the maxima, and unpooling by them.

Windows are 2x2 at stride 2, but for the two functions of overlapping windows at
the end. As in Caffe, sizes round up: a last odd row or
column has windows of its own. Of equal values the first, row by row, is taken.
The choice matters, since after a ReLU all values of a window are often 0 and
the unpooled value is not.
"""

import jax
import jax.numpy as jnp


def max_pool(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the maxima of windows and their positions in the windows.

  Args:
    x: [B, H, W, C].

  Returns:
    The maxima, [B, ceil(H / 2), ceil(W / 2), C] in the type of `x`; and their
    positions, uint8 of the same shape, 0 to 3 row by row. The gradient goes to
    that position alone. NaN counts as the largest value.
  """
  missing = [(0, side % 2) for side in x.shape[1:3]]
  x = jnp.pad(x, ((0, 0), *missing, (0, 0)), constant_values=-jnp.inf)
  best, place = x[:, ::2, ::2], jnp.zeros((), jnp.uint8)
  for i, (row, column) in enumerate(((0, 1), (1, 0), (1, 1)), 1):
    other = x[:, row::2, column::2]
    larger = (other > best) | jnp.isnan(other)
    best = jnp.where(larger, other, best)
    place = jnp.where(larger, jnp.uint8(i), place)
  return best, place


def unpool(x: jax.Array, place: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Writes values at the positions that `max_pool` returned, and 0 elsewhere.

  Each output pixel compares its position with `place`, which compiles to a
  single loop; a scatter would be far slower.

  Args:
    x: [B, h, w, C].
    place: positions from `max_pool`, of the same shape.
    size: (height, width) of the input of `max_pool`, and of the result.

  Returns:
    [B, height, width, C] in the type of `x`.
  """
  batch, rows, columns, channels = x.shape
  if place.shape != x.shape or (rows, columns) != (
      -(-size[0] // 2),
      -(-size[1] // 2),
  ):
    raise ValueError(
        f'Values {x.shape} with places {place.shape} do not come from a pool of'
        f' {size[0]} x {size[1]} pixels.'
    )
  here = jnp.arange(4, dtype=jnp.uint8).reshape(1, 1, 2, 1, 2, 1)
  chosen = place[:, :, None, :, None] == here
  x = jnp.where(chosen, x[:, :, None, :, None], jnp.zeros((), x.dtype))
  x = x.reshape(batch, 2 * rows, 2 * columns, channels)
  return x[:, : size[0], : size[1]]


def overlapping_positions(x: jax.Array) -> jax.Array:
  """Returns the positions of the maxima in 3x3 windows at stride 2.

  They are the windows of a ResNet's pooling: the image is padded by 1 on each
  side, and the padding is never the maximum. Of equal values the first counts.

  Args:
    x: [B, H, W, C].

  Returns:
    uint8 [B, ceil(H / 2), ceil(W / 2), C], 0 to 8 row by row.
  """
  rows, columns = (-(-side // 2) for side in x.shape[1:3])
  # An odd side has an even one's last window, which ends in the padding.
  padding = [
      (1, 1 + 2 * n - side)
      for n, side in zip((rows, columns), x.shape[1:3], strict=True)
  ]
  x = jnp.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-jnp.inf)
  best = jnp.full_like(x[:, : 2 * rows : 2, : 2 * columns : 2], -jnp.inf)
  place = jnp.zeros(best.shape, jnp.uint8)
  for i in range(9):
    row, column = divmod(i, 3)
    other = x[:, row : row + 2 * rows : 2, column : column + 2 * columns : 2][
        :, :rows, :columns
    ]
    larger = other > best
    best = jnp.where(larger, other, best)
    place = jnp.where(larger, jnp.uint8(i), place)
  return place


def unpool_overlapping(
    x: jax.Array, place: jax.Array, size: tuple[int, int]
) -> jax.Array:
  """Writes values at the positions of maxima of overlapping windows.

  A pixel may be the maximum of several windows: it gets the value of the last
  one, row by row, as PyTorch on a CPU leaves it.

  Args:
    x: [B, h, w, C].
    place: from `overlapping_positions`, of the same shape.
    size: (height, width) of its input, and of the result.

  Returns:
    [B, height, width, C] in the type of `x`, 0 at other pixels.
  """
  batch, rows, columns, channels = x.shape
  # Beyond the last row and column there are windows that chose nothing.
  border = ((0, 0), (0, 1), (0, 1), (0, 0))
  x = jnp.pad(x, border)
  place = jnp.pad(place, border, constant_values=9)
  # An even row is the middle of one window, an odd one the last row of a window
  # and the first of the next: (window, row in it), the last one wins.
  windows = (((0, 1),), ((0, 2), (1, 0)))
  parts = []
  for of_row in windows:
    for of_column in windows:
      part = jnp.zeros((batch, rows, columns, channels), x.dtype)
      for i, row in of_row:
        for j, column in of_column:
          here = slice(i, i + rows), slice(j, j + columns)
          chosen = place[:, *here] == 3 * row + column
          part = jnp.where(chosen, x[:, *here], part)
      parts.append(part)
  y = jnp.stack(parts, 3).reshape(batch, rows, columns, 2, 2, channels)
  y = y.transpose(0, 1, 3, 2, 4, 5)
  y = y.reshape(batch, 2 * rows, 2 * columns, channels)
  return y[:, : size[0], : size[1]]
