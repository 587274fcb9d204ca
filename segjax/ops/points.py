"""Reading maps at points between their pixels, and choosing points.

A point is (x, y), as a part of the width and of the height: (0, 0) is the
upper left corner of the map and (1, 1) the lower right one.
"""

from collections.abc import Callable
import functools

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from segjax.kernels.barrier import barrier
from segjax.ops.targets import class_logits


def sample(
    x: jax.Array,
    points: jax.Array,
    *,
    align_corners: bool = False,
    padding: str = 'zeros',
) -> jax.Array:
  """Interpolates a map bilinearly at points.

  Both the map and the points have gradients.

  Args:
    x: [B, H, W, C], any float type; the arithmetic is float32.
    points: [B, ..., 2], (x, y), which may lie outside of 0 to 1.
    align_corners: whether 0 and 1 are the centres of the first and the last
      pixel instead of the edges of the map.
    padding: 'zeros' counts pixels outside of the map as 0, so that values fade
      within a pixel of its edges; 'border' moves points to the nearest place
      between pixel centres.

  Returns:
    [B, ..., C] in the type of `x`.

  References:
    PyTorch's `grid_sample`, of the grid 2 * `points` - 1.
  """
  height, width = x.shape[1:3]
  position = positions(points, (height, width), align_corners)
  if padding == 'border':
    last = jnp.array((width - 1, height - 1), jnp.float32)
    position = position.clip(0, last)
  elif padding != 'zeros':
    raise ValueError(
        f"padding={padding!r}: points outside are 'zeros' or on the 'border'."
    )
  return sample_positions(x, position)


def sample_positions(x: jax.Array, position: jax.Array) -> jax.Array:
  """Interpolates a map bilinearly at positions in pixels.

  Pixels outside of the map count as 0. At the centre of a pixel, the gradient
  for the position is the difference to the next pixel on the right or below.

  Args:
    x: [B, H, W, C], any float type; the arithmetic is float32.
    position: [B, ..., 2] in float32, (column, row), (0, 0) at the centre of the
      first pixel.

  Returns:
    [B, ..., C] in the type of `x`.
  """
  batch, height, width, channels = x.shape
  index, weight = corners(position.reshape(batch, -1, 2), (height, width))
  y = mix(x.reshape(batch, height * width, channels), index, weight)
  return y.reshape(*position.shape[:-1], channels)


def corners(
    position: jax.Array, size: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
  """Returns the four pixels around each position, and their weights.

  Args:
    position: [B, P, 2] in float32, see `sample_positions`.
    size: (height, width) of the map.

  Returns:
    [B, P, 4] int32, row * width + column of the pixels, and [B, P, 4], what
    each counts, 0 outside of the map.
  """
  height, width = size
  last = jnp.array((width - 1, height - 1), jnp.float32)
  low = lax.stop_gradient(jnp.floor(position))
  share = position - low
  index, weight = [], []
  for corner in ((0, 0), (1, 0), (0, 1), (1, 1)):
    place = low + np.array(corner, np.float32)
    inside = ((place >= 0) & (place <= last)).all(-1)
    column, row = jnp.moveaxis(place.clip(0, last).astype(jnp.int32), -1, 0)
    index.append(row * width + column)
    across, down = (
        share[..., axis] if corner[axis] else 1 - share[..., axis]
        for axis in (0, 1)
    )
    weight.append(jnp.where(inside, across * down, 0))
  return jnp.stack(index, -1), jnp.stack(weight, -1)


def nearest(labels: jax.Array, points: jax.Array) -> jax.Array:
  """Returns the values of the pixels that points lie in.

  Args:
    labels: [B, H, W, ...], any type.
    points: [B, P, 2], (x, y); beyond the map, its nearest pixel is taken. On
      the line between two pixels, the one with the even index is, as PyTorch's
      `grid_sample` does.

  Returns:
    [B, P, ...] in the type of `labels`.
  """
  batch, height, width, *others = labels.shape
  place = jnp.round(positions(points, (height, width)))
  place = place.clip(0, np.array((width - 1, height - 1))).astype(jnp.int32)
  index = place[..., 1] * width + place[..., 0]
  flat = labels.reshape(batch, height * width, *others)
  index = index.reshape(*index.shape, *[1] * len(others))
  return jnp.take_along_axis(flat, index, 1, mode='clip')


def warp(x: jax.Array, flow: jax.Array) -> jax.Array:
  """Enlarges a map bilinearly along a flow.

  Without a flow the centres of the corner pixels are kept in place. A flow of 1
  moves the place that is read by half a pixel of the result, in coordinates in
  which the corner pixels of map and result have the same centres. Outside of
  the map it is 0.

  Args:
    x: [B, h, w, C].
    flow: [B, H, W, 2], (x, y).

  Returns:
    [B, H, W, C] in the type of `x`.

  References:
    Li et al., Semantic Flow, 2020, https://arxiv.org/abs/2002.10120, equation
    2, as its authors' code has it.
  """
  height, width = flow.shape[1:3]
  columns, rows = jnp.meshgrid(
      jnp.linspace(0, 1, width), jnp.linspace(0, 1, height)
  )
  moved = flow.astype(jnp.float32) / np.array((width, height), np.float32) / 2
  return sample(x, jnp.stack((columns, rows), -1) + moved, align_corners=True)


def positions(
    points: jax.Array, size: tuple[int, int], align_corners: bool = False
) -> jax.Array:
  """Returns where points lie in pixels, 0 at the centre of the first one.

  Args:
    points: [..., 2], (x, y).
    size: (height, width) of the map.
    align_corners: see `sample`.
  """
  height, width = size
  points = points.astype(jnp.float32)
  if align_corners:
    return points * np.array((width - 1, height - 1), np.float32)
  return points * np.array((width, height), np.float32) - 0.5


def centers(index: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Returns the points [..., 2] in the middle of pixels.

  Args:
    index: [...], row * width + column of each pixel.
    size: (height, width) of the map.
  """
  height, width = size
  place = jnp.stack((index % width, index // width), -1)
  return (place + 0.5) / np.array((width, height), np.float32)


def uncertainty(logits: jax.Array) -> jax.Array:
  """Returns the second best logit minus the best one, at most 0.

  One channel is that of a sigmoid: the logit of the other class is 0, and the
  result is -|logit|. It has no gradient.

  Args:
    logits: [..., K], any float type.

  Returns:
    [...] in float32.

  References:
    Kirillov et al., PointRend, 2020, https://arxiv.org/abs/1912.08193, as its
    authors' code in detectron2 has it, of classes and of masks.
  """

  def merge(a, b):
    (best, second), (other, third) = a, b
    return (
        jnp.maximum(best, other),
        jnp.maximum(jnp.minimum(best, other), jnp.maximum(second, third)),
    )

  logits = class_logits(lax.stop_gradient(logits))
  # In one pass over the classes. A `top_k` of [2, 512, 1024, 19] takes 1005 ms
  # on two cores, this 5.5.
  least = jnp.float32(-jnp.inf)
  best, second = lax.reduce(
      (logits, jnp.full_like(logits, least)),
      (least, least),
      merge,
      (logits.ndim - 1,),
  )
  return second - best


def most_uncertain(
    logits: jax.Array, points: jax.Array, count: int
) -> jax.Array:
  """Returns those `count` of the points where a map is the most uncertain.

  The uncertainty is that of the logits between the pixels: between two that
  are certain of different classes lies a point that is not.

  Args:
    logits: [B, H, W, K].
    points: [B, P, 2], (x, y).
    count: how many points of each image are returned.

  Returns:
    [B, count, 2], the most uncertain first.
  """
  scores = uncertainty(sample(logits.astype(jnp.float32), points))
  _, index = lax.top_k(scores, count)
  return jnp.take_along_axis(points, index[..., None], 1)


def most_uncertain_pixels(logits: jax.Array, count: int) -> jax.Array:
  """Returns the indices, row * width + column, of the most uncertain pixels.

  Args:
    logits: [B, H, W, K].
    count: how many pixels of each image are returned, or all if it has fewer.

  Returns:
    [B, min(count, H * W)], in no order that counts.
  """
  batch, height, width, _ = logits.shape
  pixels = height * width
  if count >= pixels:
    return jnp.broadcast_to(jnp.arange(pixels), (batch, pixels))
  scores = uncertainty(logits).reshape(batch, pixels)
  return lax.top_k(scores, count)[1]


def replace_pixels(
    x: jax.Array, index: jax.Array, values: jax.Array
) -> jax.Array:
  """Returns a map with other values at some of its pixels.

  Args:
    x: [B, H, W, C].
    index: [B, P], row * width + column of each pixel, none of them twice.
    values: [B, P, C].
  """
  flat = x.reshape(len(x), -1, x.shape[-1])
  replace = jax.vmap(
      lambda x, index, values: x.at[index].set(
          values, mode='promise_in_bounds', unique_indices=True
      )
  )
  return replace(flat, index, values.astype(x.dtype)).reshape(x.shape)


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    point_weight: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Adds the loss of the task at the points, as if they were an image.

  Args:
    out: outputs of a system in training; one without `points` has the loss of
      the task alone.
    batch: what they are outputs for; labels and weights are those of the pixels
      that the points lie in.
    rng: key of what the task draws.
    base: the loss of the task, of the coarse logits and of the points.
    point_weight: factor of the second.
  """
  total, parts = base(out, batch, rng)
  if 'points' not in out:
    return total, parts
  truth = {
      name: nearest(batch[name], out['points'])[:, :, None]
      for name in ('label', 'weight')
      if name in batch
  }
  outputs = {'logits': out['point_logits'][:, :, None], 'aux': {}}
  points, _ = base(outputs, {**batch, **truth}, rng)
  return total + point_weight * points, {**parts, 'points': points}


@jax.custom_vjp
def mix(x: jax.Array, index: jax.Array, weight: jax.Array) -> jax.Array:
  """Sums rows of a table with weights.

  Args:
    x: [B, N, C], any float type.
    index: [B, P, T], the T rows of each sum.
    weight: [B, P, T], float32.

  Returns:
    [B, P, C] in the type of `x`.
  """
  # Else XLA for CPUs computes both for each channel again.
  index, weight = barrier((index, weight))
  total = sum(
      row * weight[..., i, None] for i, row in enumerate(_rows(x, index))
  )
  return total.astype(x.dtype)


def _rows(x, index):
  """Yields the rows [B, P, C] that the T columns of an index name."""
  for i in range(index.shape[-1]):
    row = jnp.take_along_axis(x, index[..., i, None], 1, mode='clip')
    yield row.astype(jnp.float32)


def _mix_saved(x, index, weight):
  return mix(x, index, weight), (x, index, weight)


def _mix_gradient(saved, dy):
  x, index, weight = saved
  dy = jnp.asarray(dy, jnp.float32)
  dx = lax.platform_dependent(
      *(index, weight, dy),
      cpu=functools.partial(_spread_by_loop, rows=x.shape[1]),
      default=functools.partial(_spread, rows=x.shape[1]),
  )
  dweight = [(row * dy).sum(-1) for row in _rows(x, index)]
  return dx.astype(x.dtype), None, jnp.stack(dweight, -1)


mix.defvjp(_mix_saved, _mix_gradient)


def _spread(index, weight, dy, *, rows):
  """Adds each dy [B, P, C], weighted, to the rows that it is of."""
  batch, _, taps = index.shape
  dx = jnp.zeros((batch, rows, dy.shape[-1]), dy.dtype)
  add = jax.vmap(
      lambda dx, index, dy: dx.at[index].add(dy, mode='promise_in_bounds')
  )
  for i in range(taps):
    dx = add(dx, index[..., i], dy * weight[..., i, None])
  return dx


def _spread_by_loop(index, weight, dy, *, rows):
  """Computes `_spread` row by row.

  On two cores, 16,384 points of each of two images with 128 channels take 5 ms
  so and 35 ms by XLA's scatter.
  """
  batch, count, taps = index.shape
  index = (index + rows * jnp.arange(batch)[:, None, None]).reshape(-1, taps)
  weight, dy = weight.reshape(-1, taps), dy.reshape(-1, dy.shape[-1])

  def add(point, dx):
    for i in range(taps):
      row = lax.dynamic_slice_in_dim(dx, index[point, i], 1)
      row += weight[point, i] * dy[point]
      dx = lax.dynamic_update_slice_in_dim(dx, row, index[point, i], 0)
    return dx

  dx = jnp.zeros((batch * rows, dy.shape[-1]), dy.dtype)
  return lax.fori_loop(0, batch * count, add, dx).reshape(batch, rows, -1)
