"""Segments an image object by object, in boxes around possible objects.

This is the inference of DeconvNet, https://arxiv.org/abs/1505.04366: each box
is resized to the size that the network was trained at, so that it sees large
and small objects at the same scale. For a trained run, see
`predict.load(workdir).by_boxes`.
"""

from collections.abc import Callable

import cv2
import numpy as np

from segjax.data.boxes import excess
from segjax.data.boxes import expand


def choose(
    boxes: np.ndarray, *, count: int = 50, least: int = 112
) -> np.ndarray:
  """Returns the first `count` boxes whose sides are long enough.

  Args:
    boxes: [N, 4] in pixels, y0 x0 y1 x1, ends exclusive; best first.
    count: largest number of boxes to return.
    least: smallest length of a side, in pixels.
  """
  boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
  sides = boxes[:, 2:] - boxes[:, :2]
  return boxes[sides.min(1) >= least][:count]


def segment(
    forward: Callable,
    image: np.ndarray,
    boxes: np.ndarray,
    *,
    size: int = 224,
    enlarge: float = 1.2,
    batch_size: int = 1,
) -> np.ndarray:
  """Computes the maximum score of each class at each pixel over all boxes.

  Args:
    forward: images [B, size, size, C] float32 -> scores [B, size, size, K],
      where B is `batch_size`.
    image: normalised image [H, W, C]; pixels beyond it are 0.
    boxes: [N, 4] in pixels, y0 x0 y1 x1, ends exclusive.
    size: rows and columns of the network's input.
    enlarge: factor on the sides of boxes, which adds surroundings of an object.
    batch_size: number of boxes in a batch.

  Returns:
    [H, W, K] float32. Negative maxima become 0, and scores outside of all boxes
    are 0, so that their argmax is class 0.

  Raises:
    ValueError: there is no box, or a box without pixels.
  """
  boxes = np.asarray(boxes, np.float64)
  if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
    raise ValueError(
        f'boxes {boxes.shape} must be [N, 4], y0 x0 y1 x1, and one at least.'
    )
  if not (boxes[:, :2] < boxes[:, 2:]).all():
    raise ValueError('A box has no pixel, or its ends are not y0 x0 y1 x1.')
  windows = expand(boxes, enlarge)
  margin = excess(windows, image.shape[:2])
  border = (margin, margin), (margin, margin), (0, 0)
  image = np.pad(np.asarray(image, np.float32), border)
  slices = [
      (slice(y0, y1), slice(x0, x1)) for y0, x0, y1, x1 in windows + margin
  ]
  scores = None
  for start in range(0, len(slices), batch_size):
    chunk = slices[start : start + batch_size]
    images = np.zeros((batch_size, size, size, image.shape[-1]), np.float32)
    for i, box in enumerate(chunk):
      images[i] = _resize(image[box], (size, size))
    outputs = np.asarray(forward(images), np.float32)
    if scores is None:
      scores = np.zeros((*image.shape[:2], outputs.shape[-1]), np.float32)
    for i, box in enumerate(chunk):
      in_box = scores[box]  # A view, so `scores` changes.
      resized = _resize(outputs[i], in_box.shape[:2])
      np.maximum(in_box, resized, out=in_box)
  height, width = (side - 2 * margin for side in image.shape[:2])
  return scores[margin : margin + height, margin : margin + width]


def _resize(array, size):
  """Resizes an array [h, w, C] by linear interpolation."""
  resized = cv2.resize(array, size[::-1], interpolation=cv2.INTER_LINEAR)
  return resized.reshape(*size, -1)
