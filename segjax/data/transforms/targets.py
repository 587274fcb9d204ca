"""Targets of the loss that are made of the truth about objects."""

import dataclasses

import grain
import numpy as np

from segjax.data import boxes
from segjax.data import fields
from segjax.data.label_map import IGNORE


@dataclasses.dataclass(frozen=True)
class Centers(grain.transforms.Map):
  """Draws where the centres of objects are, and how far away from each pixel.

  Panoptic-DeepLab, https://arxiv.org/abs/1911.10194, section 3.2. Adds
    centers [H, W]: a Gaussian of `sigma` pixels at the centre of each object,
      the mean of its pixels with the fraction cut off, and 0 beyond 3 * sigma +
      1 rows and columns; the largest where they overlap;
    offsets [H, W, 2]: y and x from each pixel of an object to its exact mean;
    weight [H, W]: `small_weight` for objects of fewer than `small_area` pixels,
      1 for others; times the weight that there was.
  Objects are those of `instances` [H, W], 0 for none. Groups of objects,
  `instance_crowds` [N], are objects here: the loss leaves out their pixels.
  With `ignore_crowds` their label becomes 255, too.
  """

  sigma: float = 8.0
  small_area: int = 4096
  small_weight: float = 3.0
  ignore_crowds: bool = False

  derives = ('centers', 'offsets', 'weight')

  def __post_init__(self):
    if self.sigma <= 0 or self.small_area < 0 or self.small_weight < 0:
      raise ValueError(
          'sigma is positive, small_area and small_weight are not negative'
      )

  def map(self, features):
    for name in ('label', 'instances', 'instance_crowds'):
      if name not in features:
        raise ValueError(
            f'centers needs the field {name}: set config.dataset.options.'
            'instances, if the data set has it'
        )
    ids = features['instances']
    y, x = np.indices(ids.shape)
    area = np.bincount(ids.ravel())
    count = np.maximum(area, 1)
    means = np.stack(
        [np.bincount(ids.ravel(), at.ravel()) / count for at in (y, x)], -1
    )
    offsets = means[ids] - np.stack([y, x], -1)
    offsets[ids == 0] = 0
    small = (area < self.small_area) & (np.arange(len(area)) > 0)
    weight = np.where(small[ids], self.small_weight, 1)
    weight = weight * features.get('weight', 1)
    heat = np.zeros(ids.shape, np.float32)
    for mean in means[1:][area[1:] > 0]:
      self._draw(heat, mean.astype(int))
    return {
        **features,
        **self._label(features),
        'centers': heat,
        'offsets': offsets.astype(np.float32),
        'weight': weight.astype(np.float32),
    }

  def _draw(self, heat, center):
    """Raises the heat map to a Gaussian around a centre, in place."""
    reach = int(3 * self.sigma + 1)
    window, squares = [], []
    for at, side in zip(center, heat.shape, strict=True):
      low, high = max(at - reach, 0), min(at + reach + 1, side)
      window.append(slice(low, high))
      squares.append(np.square(np.arange(low, high) - at))
    distance = squares[0][:, None] + squares[1]
    bump = np.exp(-distance / (2 * self.sigma**2))
    window = tuple(window)
    heat[window] = np.maximum(heat[window], bump)

  def _label(self, features):
    """Returns the label without groups, if they are to be ignored."""
    if not self.ignore_crowds:
      return {}
    crowd = np.append(0, features['instance_crowds'])[features['instances']]
    return {'label': np.where(crowd, IGNORE, features['label'])}


@dataclasses.dataclass(frozen=True)
class Objects(grain.transforms.Map):
  """Lists the objects that an image shows after all moves, in `count` rows.

  Objects of at least `min_area` pixels are numbered anew from 1 on, in their
  order; of more than `count`, the largest stay. In `instances` [H, W] the
  others become 0, and the tables `instance_classes` and `instance_crowds` get
  `count` rows, which are 255 and 0 where there is no object. Adds
    instance_boxes [count, 4]: the bounds of the pixels of each, y0 x0 y1 x1,
      all 0 where there is none;
    instance_valid [count]: 1 for an object, 0 for a group of objects that
      nobody told apart, and where there is none.
  """

  count: int = 100
  min_area: int = 1

  derives = ('instance_boxes', 'instance_valid')

  def __post_init__(self):
    if self.count < 1 or self.min_area < 1:
      raise ValueError('count and min_area are at least 1')

  def map(self, features):
    names = ('instances', 'instance_classes', 'instance_crowds')
    fields.check(names, features, 'objects')
    ids, classes, crowds = (features[name] for name in names)
    area = np.bincount(ids.ravel(), minlength=1 + len(classes))[1:]
    kept = np.argsort(-area, kind='stable')[: self.count]
    kept = np.sort(kept[area[kept] >= self.min_area])
    number = np.zeros(1 + len(classes), np.int32)
    number[1 + kept] = 1 + np.arange(len(kept))
    ids = number[ids]
    table = np.full((2, self.count), [[IGNORE], [0]], np.uint8)
    table[:, : len(kept)] = classes[kept], crowds[kept]
    single = np.arange(self.count) < len(kept)
    return {
        **features,
        **dict(zip(names, (ids, *table), strict=True)),
        'instance_boxes': boxes.bounds(ids, self.count)[0],
        'instance_valid': (single & (table[1] == 0)).astype(np.uint8),
    }
