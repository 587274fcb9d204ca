"""Layers of deformable attention over several maps."""

from collections.abc import Sequence
import math

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops.deform_attention import deform_attention


class DeformAttention(nn.Module):
  """Gathers values from a few points around a place in each of several maps.

  A query predicts the points of each head, relative to its place, and their
  weights. At first the points of a head lie in a row, in a direction of its
  own, one pixel of the map apart.

  Deformable DETR, https://arxiv.org/abs/2010.04159, section 4.1.
  """

  heads: int
  points: int  # In each map, for each head.

  @nn.compact
  def __call__(self, query, source, places, sizes: Sequence[tuple[int, int]]):
    """Returns what queries gather, [B, Q, C].

    Args:
      query: [B, Q, C].
      source: [B, N, C], the pixels of all maps, row by row and map by map.
      places: [Q, 2], (x, y) of each query, as parts of the image's sides.
      sizes: (height, width) of the maps.
    """
    batch, queries, width = query.shape
    shape = batch, queries, self.heads, len(sizes), self.points
    first = directions(*shape[2:])
    offset = nn.Dense(
        first.size,
        kernel_init=nn.initializers.zeros,
        bias_init=lambda key, shape, dtype: jnp.asarray(first, dtype),
        name='offset',
    )(query)
    weight = nn.Dense(
        math.prod(shape[2:]), kernel_init=nn.initializers.zeros, name='weight'
    )(query)
    weight = jax.nn.softmax(
        weight.reshape(*shape[:3], -1).astype(jnp.float32)
    ).reshape(shape)
    value = nn.Dense(width, name='value')(source)
    # Offsets are in pixels of a map, (x, y).
    sides = np.float32(sizes)[:, None, ::-1]
    points = offset.reshape(*shape, 2).astype(jnp.float32) / sides
    points += places[:, None, None, None]
    y = deform_attention(
        value.reshape(batch, -1, self.heads, width // self.heads),
        sizes,
        points,
        weight,
    )
    return nn.Dense(width, name='out')(y.reshape(batch, queries, width))


def directions(heads: int, levels: int, points: int) -> np.ndarray:
  """Returns the offsets (x, y) that training begins with, in one row.

  Args:
    heads: number of heads, each with a direction of its own.
    levels: number of maps.
    points: number of points, each a step farther.
  """
  angles = np.arange(heads) * 2 * math.pi / heads
  grid = np.stack([np.cos(angles), np.sin(angles)], -1)
  grid /= np.abs(grid).max(-1, keepdims=True)
  steps = np.arange(1, points + 1)[:, None]
  grid = np.broadcast_to(
      grid[:, None, None] * steps, (heads, levels, points, 2)
  )
  return grid.astype(np.float32).ravel()
