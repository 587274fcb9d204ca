"""Segments an image object by object, through boxes around what may be one.

As DeconvNet does, https://arxiv.org/abs/1505.04366: each proposal is seen at
the size that the network was trained at, whatever its own, so that large and
small objects look alike. From a run, `predict.load(workdir).by_boxes`.
"""

import cv2
import numpy as np

from segjax.data.boxes import excess
from segjax.data.boxes import expanded


def choose(boxes, *, count=50, least=112):
  """Returns the first boxes whose sides are long enough.

  Args:
    boxes: [N, 4] in pixels, y0 x0 y1 x1, ends exclusive; best first.
    count: how many to return at most.
    least: pixels of the shorter side.
  """
  boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
  sides = boxes[:, 2:] - boxes[:, :2]
  return boxes[sides.min(1) >= least][:count]


def segment(forward, image, boxes, *, size=224, enlarge=1.2, batch_size=1):
  """Returns the greatest score of each class at each pixel, over all boxes.

  Args:
    forward: images [B, size, size, C] float32 -> scores [B, size, size, K],
      where B is `batch_size`.
    image: [H, W, C], normalised; it is 0 where a box leaves it.
    boxes: [N, 4] in pixels, y0 x0 y1 x1, ends exclusive.
    size: of the images that the network is shown.
    enlarge: factor of the sides of boxes, for what surrounds an object.
    batch_size: boxes at a time.

  Returns:
    [H, W, K] float32, not negative, and 0 outside of all boxes: that is class
    0 there.

  Raises:
    ValueError: there is no box, or an empty one.
  """
  boxes = np.asarray(boxes, np.float64)
  if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
    raise ValueError(
        f'boxes {boxes.shape} must be [N, 4], y0 x0 y1 x1, and one at least.'
    )
  if not (boxes[:, :2] < boxes[:, 2:]).all():
    raise ValueError('A box has no pixel, or its ends are not y0 x0 y1 x1.')
  windows = expanded(boxes, enlarge)
  margin = excess(windows, image.shape[:2])
  border = (margin, margin), (margin, margin), (0, 0)
  image = np.pad(np.asarray(image, np.float32), border)
  places = [
      (slice(y0, y1), slice(x0, x1)) for y0, x0, y1, x1 in windows + margin
  ]
  scores = None
  for start in range(0, len(places), batch_size):
    part = places[start : start + batch_size]
    images = np.zeros((batch_size, size, size, image.shape[-1]), np.float32)
    for i, place in enumerate(part):
      images[i] = _resize(image[place], (size, size))
    found = np.asarray(forward(images), np.float32)
    if scores is None:
      scores = np.zeros((*image.shape[:2], found.shape[-1]), np.float32)
    for i, place in enumerate(part):
      seen = scores[place]  # A view.
      np.maximum(seen, _resize(found[i], seen.shape[:2]), out=seen)
  height, width = (side - 2 * margin for side in image.shape[:2])
  return scores[margin : margin + height, margin : margin + width]


def _resize(array, size):
  """Returns [h, w, C] at another size, linearly interpolated."""
  resized = cv2.resize(array, size[::-1], interpolation=cv2.INTER_LINEAR)
  return resized.reshape(*size, -1)
