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


def taps(
    start: int, count: int, old: float, new: int, mirrored_in: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the sampling points of pixels of a linearly resized axis.

  Args:
    start: first pixel of the resized axis.
    count: number of pixels; those beyond the axis repeat its last one.
    old: pixels of the axis before resizing by `ops.resize`, without padding
      behind it. If the padded axis was resized, they may be no whole number.
    new: pixels of the axis after it.
    mirrored_in: pixels with the padding of an axis that was mirrored before
      resizing, so that the padding is in front; 0 for one that was not.

  Returns:
    low: the pixel before each sampling point, [count] int32.
    fraction: distance from it, 0 to 1, [count] float32.
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
