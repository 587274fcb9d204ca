"""Anchors, which boxes are predicted relative to, and the relation to them.

A box is (y0, x0, y1, x1). Deltas are (dx, dy, dw, dh), in the order that all
published detectors have them: shifts of the centre in sides of the anchor, and
logarithms of ratios of sides.
"""

from collections.abc import Sequence
import math

import jax
import jax.numpy as jnp
import numpy as np

# The largest logarithm of a ratio of sides; 16 pixels become 1000.
MAX_LOG_RATIO = math.log(1000 / 16)
# Factors of the deltas that lead from a proposal to a detection.
BOX_WEIGHTS = (10, 10, 5, 5)


def anchors(
    shapes: Sequence[tuple[int, int]],
    strides: Sequence[tuple[int, int]],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float],
    *,
    rounded: bool = True,
) -> np.ndarray:
  """Returns the anchors of all positions of all maps.

  An anchor is centred on the corner of its position: that of row i and column j
  at i and j times the strides.

  Args:
    shapes: rows and columns of each map.
    strides: pixels from one row to the next, and from one column to the next,
      of each map.
    sizes: for each map the square roots of the areas of its anchors.
    ratios: height over width.
    rounded: whether corners around the centre are rounded to whole pixels, as
      in torchvision.

  Returns:
    [A, 4] float32: maps after each other, positions by rows, and for each
    position all ratios of the first size, then of the next.
  """
  result = []
  for shape, stride, of_map in zip(shapes, strides, sizes, strict=True):
    sides = [
        (size * math.sqrt(ratio), size / math.sqrt(ratio))
        for size in of_map
        for ratio in ratios
    ]
    corner = np.array(sides) / 2
    around = np.concatenate([-corner, corner], -1)  # [n, 4].
    if rounded:
      around = np.rint(around)
    y, x = (step * np.arange(n) for step, n in zip(stride, shape, strict=True))
    center = np.stack(np.meshgrid(y, x, indexing='ij'), -1).reshape(-1, 2)
    boxes = np.tile(center, 2)[:, None] + around
    result.append(boxes.reshape(-1, 4))
  return np.concatenate(result).astype(np.float32)


def encode(
    boxes: jax.Array,
    anchors: jax.Array,
    weights: tuple[float, float, float, float] = (1, 1, 1, 1),
) -> jax.Array:
  """Returns the deltas that lead from anchors to boxes, [..., 4].

  Args:
    boxes: [..., 4].
    anchors: [..., 4].
    weights: factors of the deltas.
  """
  center, sides = _center(boxes)
  from_center, from_sides = _center(anchors)
  shift = (center - from_center) / from_sides
  ratio = jnp.log(sides / from_sides)
  deltas = jnp.concatenate([shift[..., ::-1], ratio[..., ::-1]], -1)
  return deltas * jnp.array(weights, jnp.float32)


def decode(
    deltas: jax.Array,
    anchors: jax.Array,
    weights: tuple[float, float, float, float] = (1, 1, 1, 1),
) -> jax.Array:
  """Returns the boxes that deltas lead to from anchors, [..., 4] float32.

  Args:
    deltas: [..., 4].
    anchors: [..., 4].
    weights: factors that the deltas have.
  """
  deltas = deltas.astype(jnp.float32) / jnp.array(weights, jnp.float32)
  shift, ratio = deltas[..., 1::-1], deltas[..., :1:-1]
  center, sides = _center(anchors)
  center = center + shift * sides
  sides = jnp.exp(jnp.minimum(ratio, MAX_LOG_RATIO)) * sides
  return jnp.concatenate([center - sides / 2, center + sides / 2], -1)


def _center(boxes):
  """Returns the centres and the sides of boxes, rows first; [..., 2] each."""
  low, high = boxes[..., :2], boxes[..., 2:]
  # Rows of a table that are no boxes have no sides.
  return (low + high) / 2, jnp.maximum(high - low, 1e-6)
