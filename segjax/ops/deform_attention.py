"""Deformable attention: a few positions of maps, which a query chooses."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops.points import corners
from segjax.ops.points import mix
from segjax.ops.points import positions


def deform_attention(
    value: jax.Array,
    sizes: Sequence[tuple[int, int]],
    points: jax.Array,
    weight: jax.Array,
) -> jax.Array:
  """Averages the values at the points of each query.

  Values between pixels are interpolated bilinearly, and 0 outside of a map. All
  points of a query are one sum of rows, so that no value is in memory by point.

  Args:
    value: [B, N, heads, C], the pixels of L maps, row by row and one map after
      another.
    sizes: (height, width) of the maps.
    points: [B, Q, heads, L, P, 2], (x, y) of P points in each map, as parts of
      its width and height, see `ops.points`.
    weight: [B, Q, heads, L, P], what each point counts.

  Returns:
    [B, Q, heads, C] in the type of `value`.

  References:
    Zhu et al., Deformable DETR, 2020, https://arxiv.org/abs/2010.04159,
    equation 3.
  """
  batch, queries, heads, levels, count, _ = points.shape
  starts = np.cumsum([0, *(height * width for height, width in sizes)])
  if len(sizes) != levels or value.shape[1] != starts[-1]:
    raise ValueError(
        f'{value.shape[1]} values and points in {levels} maps do not fit maps'
        f' of {list(sizes)}: expected {starts[-1]} values and points in'
        f' {len(sizes)} maps.'
    )
  # Each head of an image is an image of its own.
  points = points.swapaxes(1, 2).reshape(batch * heads, queries, levels, -1, 2)
  indices, weights = [], []
  for i, (size, start) in enumerate(zip(sizes, starts, strict=False)):
    position = positions(points[:, :, i], size)
    index, share = corners(position.reshape(batch * heads, -1, 2), size)
    indices.append((start + index).reshape(batch * heads, queries, -1))
    weights.append(share.reshape(batch * heads, queries, count, 4))
  weight = weight.swapaxes(1, 2).reshape(batch * heads, queries, levels, -1)
  total = jnp.stack(weights, 2) * weight[..., None].astype(jnp.float32)
  y = mix(
      value.swapaxes(1, 2).reshape(batch * heads, -1, value.shape[-1]),
      jnp.concatenate(indices, -1),
      total.reshape(batch * heads, queries, -1),
  )
  return y.reshape(batch, heads, queries, -1).swapaxes(1, 2)
