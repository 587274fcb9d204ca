"""Operations on boxes around objects.

Boxes are [N, 4] in pixels, y0 x0 y1 x1, with ends exclusive.
"""

import numpy as np
from scipy import ndimage


def expand(boxes: np.ndarray, factor: float) -> np.ndarray:
  """Scales the sides of boxes [..., 4], and rounds the ends to whole pixels."""
  low, high = np.split(np.asarray(boxes, np.float64), 2, -1)
  middle, reach = (low + high) / 2, factor * (high - low) / 2
  start, stop = (
      np.floor(end + 0.5) for end in (middle - reach, middle + reach)
  )
  return np.concatenate([start, np.maximum(stop, start + 1)], -1).astype(int)


def excess(boxes: np.ndarray, size: tuple[int, int]) -> int:
  """Returns the most pixels by which any box reaches beyond an image.

  Args:
    boxes: [N, 4] or [4].
    size: (height, width) of the image.
  """
  boxes = np.reshape(boxes, (-1, 4))
  return max(0, -boxes[:, :2].min(), (boxes[:, 2:] - size).max())


def overlap(a: np.ndarray, b: np.ndarray) -> float:
  """Returns the intersection over union of two boxes [4]."""
  sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
  intersection = np.prod(np.maximum(sides, 0))
  areas = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])
  return intersection / (areas - intersection)


def bounds(ids: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns the boxes around objects, and how many pixels they have.

  Args:
    ids: [H, W], integers in [0, count], 0 for no object.
    count: N.

  Returns:
    [N, 4] float32, y0 x0 y1 x1 of the pixels of objects 1 to N, all 0 for one
    without a pixel; and [N] int64.
  """
  boxes = np.zeros((count, 4), np.float32)
  for i, window in enumerate(ndimage.find_objects(ids, count)):
    if window is not None:
      rows, columns = window
      boxes[i] = rows.start, columns.start, rows.stop, columns.stop
  return boxes, np.bincount(ids.ravel(), minlength=1 + count)[1:]
