"""Boxes around objects: [N, 4] in pixels, y0 x0 y1 x1, ends exclusive."""

import numpy as np


def expanded(boxes, factor):
  """Returns boxes [..., 4] with sides `factor` times as long, whole pixels."""
  low, high = np.split(np.asarray(boxes, np.float64), 2, -1)
  middle, reach = (low + high) / 2, factor * (high - low) / 2
  start, stop = (
      np.floor(end + 0.5) for end in (middle - reach, middle + reach)
  )
  return np.concatenate([start, np.maximum(stop, start + 1)], -1).astype(int)


def excess(boxes, size):
  """Returns by how many pixels boxes leave an image (height, width) at most."""
  boxes = np.reshape(boxes, (-1, 4))
  return max(0, -boxes[:, :2].min(), (boxes[:, 2:] - size).max())


def overlap(a, b):
  """Returns the intersection over union of two boxes [4]."""
  both = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
  both = np.prod(np.maximum(both, 0))
  areas = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])
  return both / (areas - both)
