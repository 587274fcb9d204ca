"""Ops that add where the edges of an image or the outlines of a label are."""

import dataclasses

import cv2
import grain
import numpy as np

from segjax.data import directions


@dataclasses.dataclass(frozen=True)
class Canny(grain.transforms.Map):
  """Adds `canny` [H, W], 255 on the edges of the image and 0 elsewhere.

  Canny's method by OpenCV. An 8-bit image is taken as it is. The values of
  another image, such as one behind `normalize`, are cut off to whole numbers
  and negative ones counted from 256 down: Gated-SCNN's code takes normalised
  images so.

  Attributes:
    low: gradient from which pixels next to an edge belong to it.
    high: gradient from which a pixel is on an edge.
  """

  low: float = 10.0
  high: float = 100.0

  derives = ('canny',)

  def __post_init__(self):
    if not 0 <= self.low <= self.high:
      raise ValueError(
          f'low={self.low}, high={self.high}: two gradients, the first not'
          ' larger than the second'
      )

  def map(self, features):
    image = features['image']
    if image.dtype != np.uint8:
      image = image.astype(np.int64).astype(np.uint8)
    edges = cv2.Canny(np.ascontiguousarray(image), self.low, self.high)
    return {**features, 'canny': edges.astype(np.float32)}


@dataclasses.dataclass(frozen=True)
class Directions(grain.transforms.Map):
  """Adds how far pixels are from the outline of their class, and the way in.

  They are `distance` [H, W] and `angle` [H, W], see
  `segjax.data.directions.distance_and_angle`. Crops and flips may come after
  it: so the outlines beyond a crop count, and its borders are none. What
  resizes, rotates or deforms comes before.

  Attributes:
    min_area: classes with fewer pixels are left out, with distance 0.
  """

  min_area: int = 100

  derives = ('distance', 'angle')
  movable = True

  def __post_init__(self):
    if self.min_area < 0:
      raise ValueError(f'min_area={self.min_area} is a number of pixels')

  def map(self, features):
    if 'label' not in features:
      raise ValueError('directions needs a label')
    distance, angle = directions.distance_and_angle(
        features['label'], self.min_area
    )
    return {**features, 'distance': distance, 'angle': angle}
