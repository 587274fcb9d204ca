"""Directions from a pixel to one of its eight neighbours, as numbers.

SegFix, https://arxiv.org/abs/2007.04269. A direction is 0 to 7: to the left, to
the upper left, up, and on clockwise.
"""

import jax
import jax.numpy as jnp
import numpy as np

COUNT = 8
NAMES = (
    *('left', 'upper left', 'up', 'upper right'),
    *('right', 'lower right', 'down', 'lower left'),
)
# Rows and columns from a pixel to its neighbour in each direction.
STEPS = np.array(
    [
        *((0, -1), (-1, -1), (-1, 0), (-1, 1)),
        *((0, 1), (1, 1), (1, 0), (1, -1)),
    ]
)


def direction_labels(
    angle: jax.Array, counted: jax.Array, ignore: int = 255
) -> jax.Array:
  """Returns the direction that is nearest to each angle.

  Args:
    angle: [...], degrees from -180 to 180, 0 to the right and 90 down. Halfway
      between two directions it is of the one with the smaller angle.
    counted: [...] bool, where there is a direction.
    ignore: what is returned elsewhere.

  Returns:
    [...] int32.
  """
  width = 360 / COUNT
  nearest = jnp.ceil((angle + 180 - width / 2) / width).astype(jnp.int32)
  return jnp.where(counted, nearest % COUNT, ignore)


def boundary_labels(
    distance: jax.Array,
    counted: jax.Array,
    max_distance: int = 5,
    ignore: int = 255,
) -> jax.Array:
  """Returns 1 at and near the outlines of classes, and 0 elsewhere.

  Args:
    distance: [...], of each pixel to the outline of its class, rounded down.
    counted: [...] bool, where a label is known.
    max_distance: the largest distance of pixels near an outline.
    ignore: what is returned where no label is known.

  Returns:
    [...] int32.
  """
  near = (distance <= max_distance).astype(jnp.int32)
  return jnp.where(counted, near, ignore)


def look_up(
    values: np.ndarray, labels: np.ndarray, scale: float = 1.0
) -> np.ndarray:
  """Takes the values of pixels near an outline from further inside.

  Args:
    values: [H, W] or [H, W, C], of a label map or of probabilities.
    labels: [H, W]: 0 for pixels that keep their value, or 1 and the direction
      in which to look.
    scale: how many steps to go. Beyond the image is its nearest pixel.

  Returns:
    An array like `values`.
  """
  steps = np.concatenate([np.zeros((1, 2)), STEPS])[labels]
  places = np.indices(labels.shape) + np.moveaxis(scale * steps, -1, 0)
  rows, columns = (
      np.clip(np.rint(place).astype(int), 0, side - 1)
      for place, side in zip(places, labels.shape, strict=True)
  )
  return values[rows, columns]
