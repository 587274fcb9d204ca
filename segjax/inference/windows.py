"""Positions and weights of sliding windows, and sampling points of resizing.

The grid of windows is that of mmsegmentation 1.2.2.
"""

import numpy as np


def grid(length: int, window: int, stride: int) -> list[int]:
  """Returns the first pixel of each window on an axis of `length` pixels.

  The last window is moved back to end with the axis.
  """
  count = max(length - window + stride - 1, 0) // stride + 1
  return [max(min(i * stride, length - window), 0) for i in range(count)]


def windows(
    length: int, window: int, stride: int, weights: str = 'flat'
) -> list[tuple[int, np.ndarray]]:
  """Returns the first pixel and the weights of each window on an axis.

  The weights of a pixel in all windows that cover it sum to 1. With 'flat' they
  are equal; with 'hann' a window's weight is larger for pixels near its centre.

  Args:
    length: pixels of the axis.
    window: pixels of a window.
    stride: pixels from one window to the next.
    weights: 'flat' or 'hann'.

  Returns:
    [(start, weights [window] float32), ...].
  """
  weight = np.ones(window)
  if weights == 'hann':
    # Shifted by half a pixel, so that no weight is 0: a pixel at the border of
    # the image may lie in one window only.
    weight = np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2
  starts = grid(length, window, stride)
  total = np.zeros(max(length, window))
  for start in starts:
    total[start : start + window] += weight
  return [(s, np.float32(weight / total[s : s + window])) for s in starts]


def reflect(start: int, stop: int, length: int) -> np.ndarray:
  """Returns indices of the pixels of an axis that is mirrored at both ends.

  Args:
    start: first position; negative positions lie before the axis.
    stop: end of the positions, exclusive.
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


def round_up(size: tuple[int, int], unit: int) -> tuple[int, int]:
  """Rounds (height, width) up to multiples of `unit`."""
  return tuple(-(-n // unit) * unit for n in size)
