"""Windows along the axes of an image, and where their pixels lie.

The grid of windows is that of mmsegmentation 1.2.2.
"""

import numpy as np


def grid(length: int, window: int, stride: int) -> list[int]:
  """Returns where windows start on an axis; the last is moved back inside."""
  count = max(length - window + stride - 1, 0) // stride + 1
  return [max(min(i * stride, length - window), 0) for i in range(count)]


def windows(length, window, stride, weights='flat'):
  """Returns the windows along an axis, [(start, weights of its pixels), ...].

  The weights [window] that a pixel has in all windows sum to 1: they share it
  equally or, with 'hann', those in whose middle it lies get more.
  """
  weight = np.ones(window)
  if weights == 'hann':  # Without its zeros: the border has one window alone.
    weight = np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2
  starts = grid(length, window, stride)
  total = np.zeros(max(length, window))
  for start in starts:
    total[start : start + window] += weight
  return [(s, np.float32(weight / total[s : s + window])) for s in starts]


def reflect(start, stop, length):
  """Returns the indices of pixels of an axis that is mirrored at both ends.

  Args:
    start: of the pixels that are wanted; negative ones lie before the axis.
    stop: their end, exclusive.
    length: pixels of the axis.
  """
  last = length - 1
  index = np.arange(start, stop) % max(2 * last, 1)
  return np.minimum(index, 2 * last - index)


def taps(start, count, old, new, mirrored_in=0):
  """Returns where pixels of a resized axis lie: behind `low`, by a fraction.

  These are the pixels start, start + 1, ... of `ops.resize` from `old` to `new`
  pixels; any beyond repeat the last.

  Args:
    start: of the pixels of the resized axis.
    count: of these pixels.
    old: length of the axis before; it may be a fraction.
    new: length of the resized axis.
    mirrored_in: length of an axis that ends with the mirror image of the one
      to resize; 0 if it is not mirrored.
  """
  position = (np.arange(start, start + count) + 0.5) * old / new - 0.5
  position = np.clip(position, 0, old - 1)
  if mirrored_in:
    position = mirrored_in - 1 - position
  low = position.astype(np.int32)
  return low, np.float32(position - low)


def round_up(size, unit):
  """Returns (height, width), each enlarged to a multiple of `unit`."""
  return tuple(-(-n // unit) * unit for n in size)
