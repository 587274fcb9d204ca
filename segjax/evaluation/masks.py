"""Masks of objects: from a grid in a box to pixels, and as runs of COCO."""

from collections.abc import Sequence

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


def run_lengths(mask: np.ndarray) -> list[int]:
  """Returns the lengths of runs in a mask, down one column after the other.

  The first run is one of zeros, and may have no pixel.

  Args:
    mask: [H, W], 0 or 1.
  """
  flat = np.asarray(mask, bool).ravel(order='F')
  changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
  begin = [0] if flat.size and flat[0] else []
  return np.diff([0, *begin, *changes, flat.size]).tolist()


def compressed(lengths: Sequence[int]) -> str:
  """Returns runs as text, as COCO compresses them.

  From the fourth on, a run is told by its difference from the one before the
  last. Five bits are a character, the lowest first.

  Args:
    lengths: see `run_lengths`.
  """
  text = []
  for i, length in enumerate(lengths):
    rest = length - lengths[i - 2] if i > 2 else length
    more = True
    while more:
      bits, rest = rest & 31, rest >> 5
      more = rest != (-1 if bits & 16 else 0)
      text.append(chr(48 + (bits | 32 if more else bits)))
  return ''.join(text)


def encode(mask: np.ndarray) -> dict:
  """Returns a mask [H, W] as `segmentation` in COCO's JSON files."""
  height, width = np.shape(mask)
  return {
      'size': [height, width],
      'counts': compressed(run_lengths(mask)),
  }


def fill_polygon(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Fills a polygon as COCO's tools do, which round in a way of their own.

  Args:
    points: [N, 2], (x, y) of the corners.
    size: (height, width).

  Returns:
    [height, width] booleans.
  """
  height, width = size
  fine = 5  # Corners and edges lie on a grid that is finer by so much.
  corners = np.trunc(fine * np.asarray(points, np.float64) + 0.5).astype(int)
  edge = np.concatenate(
      [
          _edge(start, stop)
          for start, stop in zip(corners, np.roll(corners, -1, 0), strict=True)
      ]
  )
  before, after = edge[:-1], edge[1:]
  moved = after[:, 0] != before[:, 0]
  before, after = before[moved], after[moved]
  x = np.minimum(before[:, 0], after[:, 0])
  x = (x + 0.5) / fine - 0.5
  y = np.minimum(before[:, 1], after[:, 1])
  y = np.ceil(((y + 0.5) / fine - 0.5).clip(0, height)).astype(int)
  inside = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
  # Each of these places begins or ends a run of pixels.
  places = x[inside].astype(int) * height + y[inside]
  changes = np.bincount(places, minlength=height * width + 1)
  flat = np.cumsum(changes)[: height * width] % 2 == 1
  return flat.reshape(width, height).T


def _edge(start, stop):
  """Returns the points of a line between two corners, [n, 2]."""
  steps = np.abs(stop - start)
  long = 0 if steps[0] >= steps[1] else 1  # The axis that each step is along.
  turned = start[long] > stop[long]
  if turned:
    start, stop = stop, start
  along = np.arange(steps[long] + 1)
  slope = (stop[1 - long] - start[1 - long]) / max(steps[long], 1)
  points = np.empty((len(along), 2), int)
  points[:, long] = start[long] + along
  points[:, 1 - long] = np.trunc(start[1 - long] + slope * along + 0.5)
  return points[::-1] if turned else points
