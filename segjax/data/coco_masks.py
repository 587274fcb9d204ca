"""Masks as annotation files store them: runs of pixels, and polygons.

Runs go down one column after the other and begin with one of zeros, as in
COCO's files; polygons are filled as COCO's tools do. Checked against
pycocotools.
"""

from collections.abc import Sequence

import numpy as np


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


def decode(segmentation: dict) -> np.ndarray:
  """Returns the mask [H, W] of runs, the inverse of `encode`.

  Args:
    segmentation: `size`, height and width, and `counts`: the lengths of the
      runs, or the text that `compressed` makes of them.

  Raises:
    ValueError: the runs are no text and no whole numbers, or do not fill the
      size.
  """
  height, width = segmentation['size']
  counts = segmentation['counts']
  if isinstance(counts, bytes):
    counts = counts.decode('ascii', 'replace')
  lengths = expanded(counts) if isinstance(counts, str) else counts
  lengths = np.asarray(lengths)
  if lengths.ndim != 1 or lengths.dtype.kind not in 'iu' or lengths.min() < 0:
    raise ValueError(
        'runs of pixels are text, or whole numbers from 0 on, these begin with'
        f' {str(counts)[:20]!r}'
    )
  if lengths.sum() != height * width:
    raise ValueError(
        f'its runs have {lengths.sum()} pixels, and {height} x {width} are'
        f' {height * width}'
    )
  flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
  return flat.reshape(width, height).T


def expanded(text: str) -> list[int]:
  """Returns the lengths of runs that `compressed` has made text of."""
  lengths, value, shift = [], 0, 0
  for character in text:
    bits = ord(character) - 48
    if not 0 <= bits < 64:
      raise ValueError(f'{character!r} does not occur in compressed runs')
    value |= (bits & 31) << shift
    shift += 5
    if bits & 32:
      continue
    if bits & 16:  # The number is below 0.
      value -= 1 << shift
    lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
    value = shift = 0
  if shift:
    raise ValueError('compressed runs end within a number')
  return lengths


def fill_polygon(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Fills a polygon as COCO's tools do, which round in a way of their own.

  Args:
    points: [N, 2], (x, y) of the corners; they may lie outside of the image.
    size: (height, width).

  Returns:
    [height, width] booleans.
  """
  mask = np.zeros(size, bool)
  window, filled = fill_window(points, size)
  mask[window] = filled
  return mask


def fill_window(
    points: np.ndarray, size: tuple[int, int]
) -> tuple[tuple[slice, slice], np.ndarray]:
  """Fills a polygon, as `fill_polygon`, in the part of an image that it covers.

  Args:
    points: [N, 2], (x, y) of the corners.
    size: (height, width) of the image.

  Returns:
    The rows and columns of that part, and booleans of its size.
  """
  points = np.asarray(points, np.float64)
  # Of what lies far outside only that it does so matters.
  reach = 2.0 * max(size) + 1e4
  points = points.clip(-reach, reach)
  low = (np.floor(points.min(0)).astype(int) - 1).clip(0, size[::-1])
  high = (np.ceil(points.max(0)).astype(int) + 2).clip(low, size[::-1])
  window = slice(low[1], high[1]), slice(low[0], high[0])
  width, height = (high - low).tolist()
  fine = 5  # Corners and edges lie on a grid that is finer by so much.
  corners = np.trunc(fine * points + 0.5).astype(int) - fine * low
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
  return window, flat.reshape(width, height).T


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
