"""Resizing of learned position embeddings to grids of another size."""

import jax
import jax.numpy as jnp

from segjax.ops.resize import resize

METHODS = ('bilinear', 'bicubic', 'antialias')


def resize_table(
    table: jax.Array,
    old: tuple[int, int],
    new: tuple[int, int],
    method: str = 'bicubic',
) -> jax.Array:
  """Resizes a table of position embeddings from one grid to another.

  Args:
    table: [1, N + h * w, C]: N tokens without a position, such as the class
      token, then the grid row by row.
    old: (h, w) of the table's grid.
    new: (height, width) of the new grid.
    method: 'bilinear' or 'bicubic', without antialiasing as in mmsegmentation;
      or 'antialias', bicubic with antialiasing as in timm.

  Returns:
    [1, N + height * width, C] in the type of `table`.
  """
  if method not in METHODS:
    raise ValueError(
        f'There is no method {method!r}. Known: {", ".join(METHODS)}.'
    )
  if tuple(old) == tuple(new):
    return table
  split = table.shape[1] - old[0] * old[1]
  grid = table[:, split:].reshape(1, *old, -1)
  if method == 'antialias':
    shape = (1, *new, grid.shape[-1])
    resized = jax.image.resize(grid.astype(jnp.float32), shape, 'cubic')
    grid = resized.astype(table.dtype)
  else:
    grid = resize(grid, new, method=method)
  flat = grid.reshape(1, new[0] * new[1], -1)
  return jnp.concatenate([table[:, :split], flat], 1)
