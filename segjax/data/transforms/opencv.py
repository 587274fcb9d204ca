"""OpenCV's resampling of images with any number of channels and pixels.

OpenCV takes 128 channels, and sampling at given points takes sides of 32766
pixels: more of either ends in an error or in a crash of the process.
"""

from collections.abc import Callable

import cv2
import numpy as np

CHANNELS = 128
SIDE = 32766


def by_channels(
    function: Callable[[np.ndarray], np.ndarray], array: np.ndarray
) -> np.ndarray:
  """Applies a function to at most 128 channels at a time.

  Args:
    function: from an array to another; it may drop the axis of one channel.
    array: [H, W] or [H, W, C].

  Returns:
    The results along the last axis, with the axes of `array`.
  """
  if array.ndim == 2:
    return function(array)
  channels = array.shape[2]
  if channels <= CHANNELS:
    moved = function(array)
    return moved.reshape(*moved.shape[:2], channels)
  # OpenCV rounds one channel otherwise than many, so the parts are alike.
  parts = np.array_split(array, -(-channels // CHANNELS), axis=2)
  return np.concatenate(
      [by_channels(function, np.ascontiguousarray(part)) for part in parts], -1
  )


def resize(
    array: np.ndarray, size: tuple[int, int], interpolation: int
) -> np.ndarray:
  """Resizes an array [H, W] or [H, W, C] to a height and width."""
  return by_channels(
      lambda part: cv2.resize(part, size[::-1], interpolation=interpolation),
      array,
  )


def warp(
    array: np.ndarray,
    matrix: np.ndarray,
    interpolation: int,
    outside: float = 0,
) -> np.ndarray:
  """Applies an affine transform; the shape stays.

  Args:
    array: [H, W] or [H, W, C].
    matrix: [2, 3], from points x, y of `array` to those of the result.
    interpolation: `cv2.INTER_LINEAR` or `cv2.INTER_NEAREST`.
    outside: value of the pixels that come from outside.
  """
  height, width = array.shape[:2]
  if max(height, width) <= SIDE:
    options = {'flags': interpolation, 'borderValue': (outside,) * 4}
    return by_channels(
        lambda part: cv2.warpAffine(part, matrix, (width, height), **options),
        array,
    )
  inverse = cv2.invertAffineTransform(matrix)
  rows, columns = np.indices((height, width), np.float32)
  x, y = (a * columns + b * rows + c for a, b, c in inverse)
  x, y = x.astype(np.float32), y.astype(np.float32)
  return remap(array, x, y, interpolation, outside)


def remap(
    array: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    interpolation: int,
    outside: float = 0,
) -> np.ndarray:
  """Samples an array at points.

  Args:
    array: [H, W] or [H, W, C].
    x: [h, w] float32, the columns of the points.
    y: [h, w] float32, their rows.
    interpolation: `cv2.INTER_LINEAR` or `cv2.INTER_NEAREST`.
    outside: value of the pixels around `array`.

  Returns:
    [h, w] or [h, w, C].
  """
  if max(*array.shape[:2], *x.shape) <= SIDE:
    options = {'borderValue': (outside,) * 4}
    return by_channels(
        lambda part: cv2.remap(part, x, y, interpolation, **options), array
    )
  rows, columns = (
      _seen(points, side)
      for points, side in zip((y, x), array.shape[:2], strict=True)
  )
  part = array[rows, columns]
  if max(*part.shape[:2], *x.shape) <= SIDE:
    x, y = x - columns.start, y - rows.start
    return remap(part, x, y, interpolation, outside)
  axis = int(np.argmax(x.shape))
  halves = [np.array_split(points, 2, axis) for points in (x, y)]
  return np.concatenate(
      [
          remap(array, *half, interpolation, outside)
          for half in zip(*halves, strict=True)
      ],
      axis,
  )


def _seen(points, side):
  """Returns the slice of an axis that sampling at points looks at."""
  # Two more than the pixels around a point: the border of the slice is no
  # border of the array.
  start = int(np.clip(np.floor(points.min()) - 2, 0, side - 1))
  stop = int(np.clip(np.ceil(points.max()) + 3, start + 1, side))
  return slice(start, stop)
