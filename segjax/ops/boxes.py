"""Boxes, and what lies in them.

A box is (y0, x0, y1, x1) in pixels, ends exclusive, so that the box of one
pixel is one wide; it may reach beyond its image. What lies in it is looked at
on a grid of size x size points, the centres of as many equal cells.
"""

import jax
import jax.numpy as jnp


def bounding_boxes(regions):
  """Returns the tight boxes of regions.

  Args:
    regions: [..., H, W, N], 0 or 1.

  Returns:
    [..., N, 4] float32; that of the first pixel for an empty region.
  """
  ends = []
  for axis in (-2, -3):
    line = (regions > 0).any(axis)  # Over rows, then over columns.
    first = jnp.argmax(line, -2)
    last = line.shape[-2] - jnp.argmax(line[..., ::-1, :], -2)
    ends.append((first, jnp.where(line.any(-2), last, 1)))
  (y0, y1), (x0, x1) = ends
  return jnp.stack([y0, x0, y1, x1], -1).astype(jnp.float32)


def expand(boxes, fraction):
  """Moves each side of boxes [..., 4] out by a fraction of height or width."""
  low, high = jnp.split(boxes, 2, -1)
  margin = fraction * (high - low)
  return jnp.concatenate([low - margin, high + margin], -1)


def sample(image, box, size, *, outside='edge'):
  """Interpolates an image at the grid of a box, linearly.

  Args:
    image: [H, W, C], any float type; the arithmetic is float32.
    box: [4].
    size: rows and columns of the grid.
    outside: what surrounds the image: its 'edge', or 'zero'.

  Returns:
    [size, size, C] in the type of `image`.
  """
  rows, columns = (
      _weights(_grid(box[i], box[i + 2], size), image.shape[i], outside)
      for i in (0, 1)
  )
  exact = jax.lax.Precision.HIGHEST
  y = image.astype(jnp.float32)
  y = jnp.einsum('yh,hwc->ywc', rows, y, precision=exact)
  y = jnp.einsum('xw,ywc->yxc', columns, y, precision=exact)
  return y.astype(image.dtype)


def pick(image, box, size):
  """Returns the pixels at the grid of a box, 0 outside of the image.

  Args:
    image: [H, W], any type.
    box: [4].
    size: rows and columns of the grid.

  Returns:
    [size, size] in the type of `image`.
  """
  index = [jnp.floor(_grid(box[i], box[i + 2], size) + 0.5) for i in (0, 1)]
  y, x = (  # -1 would be the last.
      jnp.where(i < 0, side, i).astype(jnp.int32)
      for i, side in zip(index, image.shape, strict=True)
  )
  rows = jnp.take(image, y, 0, mode='fill', fill_value=0)
  return jnp.take(rows, x, 1, mode='fill', fill_value=0)


def paste(grids, boxes, size):
  """Lays the values of grids back on the pixels of boxes: `pick` reversed.

  Args:
    grids: [..., S, S], any type; a value for each cell of a box.
    boxes: [..., 4].
    size: (height, width) of the result.

  Returns:
    [..., height, width] in the type of `grids`, 0 outside of the box.
  """
  cells, index = grids.shape[-1], []
  for i in (0, 1):
    start, stop = boxes[..., i, None], boxes[..., i + 2, None]
    cell = (jnp.arange(size[i]) + 0.5 - start) * cells / (stop - start)
    cell = jnp.where(cell < 0, cells, cell)  # -1 would be the last.
    index.append(jnp.floor(cell).astype(jnp.int32))
  y, x = index[0][..., None], index[1][..., None, :]
  rows = jnp.take_along_axis(grids, y, -2, mode='fill', fill_value=0)
  return jnp.take_along_axis(rows, x, -1, mode='fill', fill_value=0)


def _grid(start, stop, size):
  """Returns the centres of cells along an axis, where pixel 0 is at 0: [S]."""
  return start + (jnp.arange(size) + 0.5) * (stop - start) / size - 0.5


def _weights(positions, length, outside):
  """Returns the matrix of linear interpolation at `positions`, [S, length]."""
  if outside == 'edge':
    positions = jnp.clip(positions, 0, length - 1)
  distance = jnp.abs(positions[:, None] - jnp.arange(length))
  return jnp.maximum(1 - distance, 0)
