"""RoIAlign: reads features at a grid of bins in each box, without rounding.

A bin is the mean of bilinear samples that lie evenly in it. The samples of a
bin are a product of rows and columns, so the mean over them is two products
with matrices, one for the rows and one for the columns of a map. No values are
gathered, and the gradient has no scatter.
"""

import functools

import jax
import jax.numpy as jnp

# Boxes whose bins are computed at once; more would need more memory.
CHUNK = 32


def roi_align(
    x: jax.Array,
    boxes: jax.Array,
    size: tuple[int, int],
    *,
    scale: float = 1.0,
    sampling: int = 2,
    aligned: bool = False,
) -> jax.Array:
  """Reads one map at the bins of boxes; see `pyramid_roi_align`.

  Args:
    x: [B, H, W, C], features.
    boxes: [B, N, 4], y0 x0 y1 x1 in pixels of the image, without gradient.
    size: rows and columns of bins.
    scale: pixels of the map for a pixel of the image.
    sampling: samples of a bin on each axis. 0 takes as many as the bin has
      pixels of the map, rounded up, which is another number for each box.
    aligned: whether the centre of the first pixel is at 0.5 instead of 0. If
      not, the sides of a box count as at least one pixel of the map.

  Returns:
    [B, N, rows, columns, C] in the type of `x`.
  """
  level = jnp.zeros(boxes.shape[:2], jnp.int32)
  return pyramid_roi_align(
      [x],
      boxes,
      level,
      size,
      scales=(scale,),
      sampling=sampling,
      aligned=aligned,
  )


def pyramid_roi_align(
    maps: list[jax.Array],
    boxes: jax.Array,
    levels: jax.Array,
    size: tuple[int, int],
    *,
    scales: tuple[float, ...],
    sampling: int = 2,
    aligned: bool = False,
) -> jax.Array:
  """Reads each box from one map of several.

  Samples beyond one pixel outside of the map count as 0, and those nearer have
  the value of its border.

  Args:
    maps: [B, H, W, C] each, with their own H and W.
    boxes: see `roi_align`.
    levels: [B, N], the index of the map for each box.
    size: see `roi_align`.
    scales: pixels of each map for a pixel of the image.
    sampling: see `roi_align`.
    aligned: see `roi_align`.

  Returns:
    [B, N, rows, columns, C] in the type of the maps.

  References:
    He et al., Mask R-CNN, 2017, https://arxiv.org/abs/1703.06870, section 3.
    The rules at the border and for the sides are those of torchvision.
  """
  boxes = jax.lax.stop_gradient(boxes.astype(jnp.float32))

  @jax.checkpoint
  def bins(maps, box, level):  # One box of each image: [B, 4], [B].
    total = 0.0
    for i, (x, scale) in enumerate(zip(maps, scales, strict=True)):
      rows, columns = (
          sample_weights(
              scale * box[:, axis],
              scale * box[:, axis + 2],
              size[axis],
              x.shape[1 + axis],
              sampling=sampling,
              aligned=aligned,
          ).astype(x.dtype)
          for axis in (0, 1)
      )
      rows *= (level == i)[:, None, None].astype(x.dtype)
      product = functools.partial(
          jnp.einsum, precision=jax.lax.Precision.HIGHEST
      )
      y = product('brh,bhwc->brwc', rows, x)
      total += product('bsw,brwc->brsc', columns, y)
    return total

  result = jax.lax.map(
      lambda one: bins(maps, *one),
      (boxes.swapaxes(0, 1), levels.swapaxes(0, 1)),
      batch_size=CHUNK,
  )
  return result.swapaxes(0, 1)


def sample_weights(
    start: jax.Array,
    stop: jax.Array,
    bins: int,
    length: int,
    *,
    sampling: int,
    aligned: bool,
) -> jax.Array:
  """Returns what each pixel of an axis counts in each bin, [..., bins, length].

  Args:
    start: [...], where boxes begin, in pixels of the map.
    stop: [...], where they end.
    bins: of a box.
    length: pixels of the axis.
    sampling: see `roi_align`.
    aligned: see `roi_align`.
  """
  start, stop = start[..., None], stop[..., None]
  extent = stop - start
  if aligned:
    start = start - 0.5
  else:
    extent = jnp.maximum(extent, 1.0)
  side = extent / bins
  first = start + side * jnp.arange(bins)  # [..., bins], where bins begin.
  pixels = jnp.arange(length)

  def add(i, total, count):
    """Adds the weights of sample i of `count` in each bin."""
    place = first + side * (i + 0.5) / jnp.maximum(count, 1)
    counts = (place >= -1) & (place <= length) & (i < count)
    place = jnp.clip(place, 0, length - 1)[..., None]
    weight = jnp.maximum(1 - jnp.abs(place - pixels), 0)
    return total + weight * counts[..., None]

  total = jnp.zeros((*first.shape, length), jnp.float32)
  if sampling:
    for i in range(sampling):
      total = add(i, total, sampling)
    return total / sampling
  count = jnp.ceil(side)
  total = jax.lax.fori_loop(
      0,
      count.max(initial=0).astype(jnp.int32),
      lambda i, total: add(i, total, count),
      total,
  )
  return total / jnp.maximum(count, 1)[..., None]


def level_of(
    boxes: jax.Array,
    finest: int,
    coarsest: int,
    *,
    epsilon: float = 1e-6,
    inside: bool = False,
) -> jax.Array:
  """Chooses the level of a pyramid that boxes are read from.

  It is 4 for a box of 224 x 224 pixels, and one more where sides are twice as
  long: Feature Pyramid Networks, https://arxiv.org/abs/1612.03144, equation 1.

  Args:
    boxes: [..., 4].
    finest: lowest level.
    coarsest: highest level.
    epsilon: what lifts a box over the border between two levels.
    inside: whether it is added inside of the logarithm, as in detectron2, or
      behind it, as in torchvision.

  Returns:
    [...] int32, from `finest` to `coarsest`.
  """
  sides = boxes[..., 2:] - boxes[..., :2]
  ratio = jnp.sqrt(sides[..., 0] * sides[..., 1]) / 224
  if inside:
    level = jnp.floor(4 + jnp.log2(ratio + epsilon))
  else:
    level = jnp.floor(4 + jnp.log2(ratio) + epsilon)
  return jnp.clip(level, finest, coarsest).astype(jnp.int32)


def mask_targets(
    ids: jax.Array, boxes: jax.Array, numbers: jax.Array, size: int
) -> jax.Array:
  """Returns how much of each bin of boxes is of one object.

  It is RoIAlign of the mask of that object, 0 or 1, with as many samples as a
  bin has pixels, as in torchvision: values lie from 0 to 1.

  Args:
    ids: [B, H, W], which object each pixel is of.
    boxes: [B, N, 4], in pixels.
    numbers: [B, N], the object of each box.
    size: rows and columns of bins.

  Returns:
    [B, N, size, size] float32.
  """
  boxes = jax.lax.stop_gradient(boxes.astype(jnp.float32))

  def of_box(one):  # One box of each image.
    box, number = one
    mask = (ids == number[:, None, None]).astype(jnp.float32)
    return roi_align(mask[..., None], box[:, None], (size, size), sampling=0)[
        :, 0, ..., 0
    ]

  result = jax.lax.map(
      of_box, (boxes.swapaxes(0, 1), numbers.swapaxes(0, 1)), batch_size=8
  )
  return result.swapaxes(0, 1)
