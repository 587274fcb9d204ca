"""Max pooling with the positions of the maxima, and unpooling by them.

Windows are 2x2 at stride 2. As in Caffe, sizes round up: a last odd row or
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
