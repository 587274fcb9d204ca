"""Masks of objects: from a grid in a box to the pixels of an image."""

import numpy as np


def paste(
    grid: np.ndarray,
    box: np.ndarray,
    size: tuple[int, int],
    *,
    rounded: bool = True,
) -> tuple[tuple[slice, slice], np.ndarray]:
  """Interpolates what a grid in a box shows at the pixels of an image.

  Args:
    grid: [S, S], such as probabilities.
    box: [4], y0 x0 y1 x1 in pixels.
    size: (height, width) of the image.
    rounded: follows torchvision, which resizes the grid, with a border of
      zeros, to the whole pixels of the box. If not, the grid is read at the
      centres of pixels, as in detectron2.

  Returns:
    The rows and columns of the image that the box covers, and the values
    there. All others are 0.
  """
  grid = np.asarray(grid, np.float32)
  box = np.asarray(box, np.float32)
  if rounded:
    grid = np.pad(grid, 1)
    cells = len(grid)
    center, reach = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    reach = reach * np.float32(cells / (cells - 2))
    low, high = np.trunc([center - reach, center + reach]).astype(int)
    # Both ends are in the box.
    sides = np.maximum(high - low + 1, 1)
  else:
    cells = len(grid)
    low, sides = box[:2], np.maximum(box[2:] - box[:2], 1e-6)
    high = np.ceil(box[2:] + sides / cells).astype(int)
  window, weights = [], []
  for axis in (0, 1):
    begin = low[axis] if rounded else low[axis] - sides[axis] / cells
    start = int(np.clip(np.floor(begin), 0, size[axis]))
    stop = int(np.clip(high[axis] + rounded, start, size[axis]))
    at = (np.arange(start, stop) + 0.5 - low[axis]) * cells / sides[axis] - 0.5
    if rounded:
      at = at.clip(0, cells - 1)
    distance = np.abs(at[:, None] - np.arange(cells))
    weights.append(np.maximum(1 - distance, 0).astype(np.float32))
    window.append(slice(start, stop))
  rows, columns = weights
  return tuple(window), rows @ grid @ columns.T
