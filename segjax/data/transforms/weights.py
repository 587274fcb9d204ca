"""Weights of pixels in the loss, computed from the label."""

import dataclasses

import cv2
import grain
import numpy as np

from segjax.data.label_map import IGNORE


@dataclasses.dataclass(frozen=True)
class BorderWeights(grain.transforms.Map):
  """Adds a field `weight` that is large between objects that nearly touch.

  Equation 2 of U-Net, https://arxiv.org/abs/1505.04597: w0 * exp(-(d1 + d2)^2 /
  (2 sigma^2)), where d1 and d2 are the distances in pixels to the borders of
  the two nearest objects, plus a weight for the pixel's class. The class
  weights give all classes of the label the same total, and have a mean of 1.
  Objects are the 4-connected components of each class in `objects`; by default
  of all classes but 0. Ignored pixels have weight 0.
  """

  w0: float = 10.0
  sigma: float = 5.0
  objects: tuple[int, ...] = ()

  derives = ('weight',)

  def __post_init__(self):
    if self.w0 < 0 or self.sigma <= 0:
      raise ValueError(
          f'w0={self.w0}, sigma={self.sigma}: w0 is not negative and sigma is'
          ' positive'
      )

  def map(self, features):
    if 'label' not in features:
      raise ValueError('border_weights needs a label')
    label = features['label']
    if label.ndim != 2:
      raise ValueError(
          'border_weights is for pixels of one class, and these classes overlap'
      )
    near = np.square(sum(self._distances(label))) / (2 * self.sigma**2)
    weight = _class_balance(label) + self.w0 * np.exp(-near)
    weight[label == IGNORE] = 0
    return {**features, 'weight': weight}

  def _distances(self, label):
    """Returns distances to the nearest and the second object, [H, W] each."""
    nearest = np.full(label.shape, np.inf, np.float32)
    second = nearest
    classes = self.objects or set(np.unique(label)) - {0, IGNORE}
    for train_id in classes:
      mask = np.uint8(label == train_id)
      count, parts = cv2.connectedComponents(mask, connectivity=4)
      for part in range(1, count):
        distance = _border_distance(np.uint8(parts == part))
        second = np.minimum(second, np.maximum(nearest, distance))
        nearest = np.minimum(nearest, distance)
    return nearest, second


def _border_distance(mask):
  """Returns the distance to the outermost pixels of an object, [H, W]."""
  cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
  border = mask - cv2.erode(mask, cross)
  if not border.any():  # The object fills the image.
    return np.float32(np.inf)
  return cv2.distanceTransform(1 - border, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _class_balance(label):
  """Returns weights [H, W] that give each class of a label the same total."""
  counts = np.bincount(label.ravel(), minlength=256)
  counts[IGNORE] = 0
  present = np.count_nonzero(counts)
  table = counts.sum() / np.maximum(counts * present, 1)
  return np.float32(table)[label]
