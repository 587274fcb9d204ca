"""Max pooling that remembers where its values were, and the way back.

Windows are 2x2 at stride 2 and, as Caffe's, a last odd row or column has
windows of its own, so sizes round up. Of equal values the first one wins, row
by row: after a ReLU a window is often 0 throughout, and a decoder puts values
other than 0 back there.
"""

import jax.numpy as jnp


def max_pool(x):
  """Pools, and tells which pixel of a window each value is from.

  Args:
    x: [B, H, W, C].

  Returns:
    The values, [B, ceil(H / 2), ceil(W / 2), C] in the type of `x`, and their
    places in the windows, row by row from 0 to 3, of that shape in uint8. The
    gradient of a value goes to its place alone. NaN counts as the largest.
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


def unpool(x, place, size):
  """Puts values where `max_pool` took some from; all other pixels are 0.

  Every pixel asks whether it is the one, which compiles to a single loop
  everywhere; a scatter would be far slower.

  Args:
    x: [B, h, w, C].
    place: of that shape, from `max_pool`.
    size: (height, width) of what was pooled, hence of the result.

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
