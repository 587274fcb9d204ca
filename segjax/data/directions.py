"""How far pixels are from the outline of their class, and the way inside.

SegFix, https://arxiv.org/abs/2007.04269, section 3.3: the truth of its
network, made of any label map.
"""

import cv2
import numpy as np

from segjax.data.label_map import IGNORE

FARTHEST = 250  # Larger distances are this one.
_STEPS = np.arange(-2.0, 3.0)
_SQUARES = np.square(_STEPS)[:, None] + np.square(_STEPS)
# Of a 5x5 window, each pixel's part of the gradient along rows.
_KERNEL = _STEPS[:, None] / np.where(_SQUARES == 0, 1, _SQUARES)


def depth_and_gradient(
    label: np.ndarray, min_area: int = 100
) -> tuple[np.ndarray, np.ndarray]:
  """Returns distances to other classes, and where they grow.

  Args:
    label: [H, W], class ids or 255 for ignored pixels.
    min_area: classes with fewer pixels are left out, as ignored pixels are.

  Returns:
    The distance of each pixel to the nearest one that is not of its class,
    [H, W] float32, 0 where it is left out. The border of the image is no
    outline; of an image of one class alone all distances are `FARTHEST`. And
    the gradient of the distances (rows, columns), [H, W, 2] float64, in which
    pixels of other classes have distance 0.
  """
  depth = np.zeros(label.shape, np.float32)
  gradient = np.zeros((*label.shape, 2))
  counts = np.bincount(label.ravel(), minlength=256)
  counts[IGNORE] = 0
  for train_id in np.flatnonzero(counts >= max(min_area, 1)):
    mask = label == train_id
    # What lies more than a pixel beyond the class changes nothing.
    window = tuple(
        slice(max(found[0] - 1, 0), found[-1] + 2)
        for found in (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    )
    inside = mask[window]
    if inside.all():
      distance = np.full(inside.shape, FARTHEST, np.float32)
    else:
      distance = cv2.distanceTransform(
          inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
      )
    depth[window][inside] = distance[inside]
    for axis, kernel in enumerate((_KERNEL, _KERNEL.T)):
      slope = cv2.filter2D(
          distance.astype(np.float64),
          cv2.CV_64F,
          kernel,
          borderType=cv2.BORDER_CONSTANT,
      )
      gradient[window][inside, axis] = slope[inside]
  return depth, gradient


def distance_and_angle(
    label: np.ndarray, min_area: int = 100
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the distance to the outline and the direction away from it.

  Both are as coarse as in the files of SegFix's authors.

  Args:
    label: see `depth_and_gradient`.
    min_area: see `depth_and_gradient`.

  Returns:
    Distances, [H, W] uint8, rounded down and at most `FARTHEST`; and angles of
    the gradient, [H, W] float32, in degrees from -180 to 180, even numbers: 0
    points to the right, 90 down.
  """
  depth, gradient = depth_and_gradient(label, min_area)
  distance = np.minimum(depth, FARTHEST).astype(np.uint8)
  degrees = np.degrees(np.arctan2(gradient[..., 0], gradient[..., 1]))
  return distance, (2 * np.floor((degrees + 180) / 2) - 180).astype(np.float32)
