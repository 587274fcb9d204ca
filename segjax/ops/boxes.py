"""Operations on boxes: overlaps, bounds of masks, sampling and pasting.

A box is (y0, x0, y1, x1) in pixels, ends exclusive, so the box of one pixel has
width 1. It may reach beyond its image. Its content is sampled on a grid of
size x size points, the centres of equal cells.
"""

import jax
import jax.numpy as jnp


def bounding_boxes(regions: jax.Array) -> jax.Array:
  """Returns the tight bounding boxes of masks.

  Args:
    regions: [..., H, W, N], 0 or 1.

  Returns:
    [..., N, 4] float32. The box of an empty mask is (0, 0, 1, 1).
  """
  ends = []
  for axis in (-2, -3):  # The rows first: a row is inside if any column is.
    inside = (regions > 0).any(axis)
    start = jnp.argmax(inside, -2)
    stop = inside.shape[-2] - jnp.argmax(inside[..., ::-1, :], -2)
    ends.append((start, jnp.where(inside.any(-2), stop, 1)))
  (y0, y1), (x0, x1) = ends
  return jnp.stack([y0, x0, y1, x1], -1).astype(jnp.float32)


def expand(boxes: jax.Array, fraction: float) -> jax.Array:
  """Moves each side of boxes [..., 4] out by a fraction of height or width."""
  low, high = jnp.split(boxes, 2, -1)
  margin = fraction * (high - low)
  return jnp.concatenate([low - margin, high + margin], -1)


def clip(boxes: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Moves the ends of boxes [..., 4] into an image of (height, width)."""
  return jnp.clip(boxes, 0, jnp.array((*size, *size), boxes.dtype))


def overlaps(a: jax.Array, b: jax.Array) -> jax.Array:
  """Returns the intersections over unions of boxes.

  Args:
    a: [..., N, 4].
    b: [..., M, 4].

  Returns:
    [..., N, M]; 0 where both boxes have no area.
  """
  first, second = a[..., :, None, :], b[..., None, :, :]
  sides = jnp.minimum(first[..., 2:], second[..., 2:]) - jnp.maximum(
      first[..., :2], second[..., :2]
  )
  sides = jnp.maximum(sides, 0)
  both = sides[..., 0] * sides[..., 1]
  union = area(first) + area(second) - both
  return jnp.where(union > 0, both / jnp.where(union > 0, union, 1), 0)


def area(boxes: jax.Array) -> jax.Array:
  """Returns the areas of boxes [..., 4]."""
  sides = boxes[..., 2:] - boxes[..., :2]
  return sides[..., 0] * sides[..., 1]


def sample(
    image: jax.Array, box: jax.Array, size: int, *, outside: str = 'edge'
) -> jax.Array:
  """Samples an image on the grid of a box by bilinear interpolation.

  Args:
    image: [H, W, C], any float type; the arithmetic is float32.
    box: [4].
    size: rows and columns of the grid.
    outside: value beyond the image: 'edge' repeats its border, 'zero' is 0.

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


def pick(image: jax.Array, box: jax.Array, size: int) -> jax.Array:
  """Samples the nearest pixels on the grid of a box, 0 outside the image.

  Args:
    image: [H, W], any type.
    box: [4].
    size: rows and columns of the grid.

  Returns:
    [size, size] in the type of `image`.
  """
  index = [jnp.floor(_grid(box[i], box[i + 2], size) + 0.5) for i in (0, 1)]
  # `take` reads a negative index from the end, so it is moved beyond the end.
  y, x = (
      jnp.where(i < 0, side, i).astype(jnp.int32)
      for i, side in zip(index, image.shape, strict=True)
  )
  rows = jnp.take(image, y, 0, mode='fill', fill_value=0)
  return jnp.take(rows, x, 1, mode='fill', fill_value=0)


def paste(
    grids: jax.Array, boxes: jax.Array, size: tuple[int, int]
) -> jax.Array:
  """Pastes grids into the boxes of an image, nearest neighbour: undoes `pick`.

  Args:
    grids: [..., S, S], any type; a value for each cell of a box.
    boxes: [..., 4].
    size: (height, width) of the result.

  Returns:
    [..., height, width] in the type of `grids`, 0 outside the box.
  """
  cells, index = grids.shape[-1], []
  for i in (0, 1):
    start, stop = boxes[..., i, None], boxes[..., i + 2, None]
    cell = (jnp.arange(size[i]) + 0.5 - start) * cells / (stop - start)
    # `take_along_axis` reads a negative index from the end; see `pick`.
    cell = jnp.where(cell < 0, cells, cell)
    index.append(jnp.floor(cell).astype(jnp.int32))
  y, x = index[0][..., None], index[1][..., None, :]
  rows = jnp.take_along_axis(grids, y, -2, mode='fill', fill_value=0)
  return jnp.take_along_axis(rows, x, -1, mode='fill', fill_value=0)


def paste_smooth(
    grid: jax.Array, box: jax.Array, size: tuple[int, int]
) -> jax.Array:
  """Interpolates what a grid in a box shows at the pixels of an image.

  Values fade to 0 within a cell of the border of the box, as in detectron2.

  Args:
    grid: [S, S], a value for each cell of the box.
    box: [4].
    size: (height, width) of the result.

  Returns:
    [height, width] float32.
  """
  cells, weights = len(grid), []
  for axis in (0, 1):
    start, stop = box[axis], box[axis + 2]
    at = jnp.arange(size[axis]) + 0.5 - start
    at = at * cells / jnp.maximum(stop - start, 1e-6) - 0.5
    weights.append(_weights(at, cells, 'zero'))
  rows, columns = weights
  exact = jax.lax.Precision.HIGHEST
  y = jnp.matmul(rows, grid.astype(jnp.float32), precision=exact)
  return jnp.matmul(y, columns.T, precision=exact)


def _grid(start, stop, size):
  """Returns the centres of cells along an axis, [S], in indices of pixels."""
  return start + (jnp.arange(size) + 0.5) * (stop - start) / size - 0.5


def _weights(positions, length, outside):
  """Returns the matrix of linear interpolation at `positions`, [S, length]."""
  if outside == 'edge':
    positions = jnp.clip(positions, 0, length - 1)
  distance = jnp.abs(positions[:, None] - jnp.arange(length))
  return jnp.maximum(1 - distance, 0)
