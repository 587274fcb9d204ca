"""RoI pooling: maxima over a grid of bins in each box of a feature map."""

import functools

import jax
import jax.numpy as jnp


def roi_max_pool(x: jax.Array, boxes: jax.Array, size: int) -> jax.Array:
  """Takes the maxima of the bins of each box, as Fast R-CNN does.

  Bins consist of whole cells, and neighbouring bins overlap where the side of a
  box is no multiple of `size`. A bin outside the map is 0.

  Args:
    x: [H, W, C], features.
    boxes: [N, 4], whole numbers (y0, x0, y1, x1), the first and the last cell.
      A smaller box counts as one cell.
    size: number of rows and of columns of bins.

  Returns:
    [N, size, size, C] in the type of `x`.

  References:
    Girshick, Fast R-CNN, 2015, https://arxiv.org/abs/1504.08083, section 2.1.
  """
  pool = functools.partial(_pool, size=size)
  # Without the checkpoint the gradient would keep a copy of the map for each
  # row of bins of each box.
  return jax.lax.map(
      lambda box: jax.checkpoint(pool)(x, box), boxes, batch_size=8
  )


def _pool(x, box, *, size):
  for axis in (0, 1):
    inside = _bins(box[axis], box[axis + 2], x.shape[axis], size)
    shape = [size, *(1,) * x.ndim]
    shape[1 + axis] = x.shape[axis]
    # The axis of the bins replaces the axis that was pooled.
    bins = jnp.where(inside.reshape(shape), x, -jnp.inf).max(1 + axis)
    x = jnp.moveaxis(bins, 0, axis)
  return jnp.where(jnp.isfinite(x), x, 0).astype(x.dtype)


def _bins(first, last, length, size):
  """Returns the mask of the cells of each bin along an axis, [size, length]."""
  bins, cells = jnp.arange(size)[:, None], jnp.arange(length)
  count = jnp.maximum(last - first + 1, 1)
  # In integers, since a float32 quotient may round to below a whole number.
  first, count = first.astype(jnp.int32), count.astype(jnp.int32)
  low = first + bins * count // size
  high = first - (-(bins + 1) * count // size)
  return (cells >= low) & (cells < high)
