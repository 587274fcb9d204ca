"""Ops that look at one object, a connected part of a class, at a time.

Class 0 is the background, and not an object.
"""

import dataclasses

import grain
import numpy as np

from segjax.data import boxes
from segjax.data import fields
from segjax.data import proposals
from segjax.data.label_map import IGNORE
from segjax.data.transforms.geometry import Resize
from segjax.data.transforms.geometry import Sized


@dataclasses.dataclass(frozen=True)
class ObjectCrop(Sized, grain.transforms.RandomMap):
  """Cuts out the box of an object, `enlarge` times as long, and resizes it.

  All objects are equally likely; an image without any is taken whole. With an
  `overlap` of 1 the object is alone: others become background. Below, the box
  is one that overlaps the object's by so much at least (intersection over
  union), as a proposal would, and the label stays. The two are the stages of
  training DeconvNet, https://arxiv.org/abs/1505.04366.
  """

  enlarge: float = 1.2
  overlap: float = 1.0

  def __post_init__(self):
    super().__post_init__()
    if self.enlarge <= 0 or not 0 < self.overlap <= 1:
      raise ValueError('enlarge is positive, and overlap within 0 and 1')

  def random_map(self, features, rng):
    if 'label' not in features:
      raise ValueError('object_crop needs a label')
    others = [
        name
        for name in features
        if fields.is_spatial(name) and name not in ('image', 'label')
    ]
    if others:
      raise ValueError(
          'object_crop cuts out image and label alone; leave'
          f' {", ".join(others)} out of the data set'
      )
    image, label = features['image'], features['label']
    ids, classes = proposals.objects(label)
    box = np.array([0, 0, *label.shape])
    if len(classes) > 1:
      mask = ids == rng.integers(1, len(classes))
      box = boxes.expanded(self._draw(_bounds(mask), rng), self.enlarge)
      if self.overlap == 1:
        label = np.where(mask | (label == IGNORE), label, 0)
    n = boxes.excess(box, label.shape)
    y0, x0, y1, x1 = box + n
    image = np.pad(image, ((n, n), (n, n), (0, 0)))[y0:y1, x0:x1]
    label = np.pad(label, n, constant_values=IGNORE)[y0:y1, x0:x1]
    features = {**features, 'image': image, 'label': label}
    return Resize(self.height, self.width).map(features)

  def _draw(self, box, rng):
    """Returns a box that overlaps another, or that itself."""
    reach = np.tile(box[2:] - box[:2], 2) * (1 - self.overlap)
    for _ in range(50):
      drawn = box + rng.uniform(-reach, reach)
      if boxes.overlap(drawn, box) >= self.overlap:
        return drawn
    return box


@dataclasses.dataclass(frozen=True)
class LabelProposals(grain.transforms.Map):
  """Says of each region proposal which class of object it shows, if any.

  Adds `categories` [N] and `overlaps` [N]; see `proposals.assign`.
  """

  derives = ('categories', 'overlaps')

  def map(self, features):
    fields.check(('label', 'proposals'), features, 'label_proposals')
    categories, overlaps = proposals.assign(
        features['proposals'], features['label']
    )
    return {**features, 'categories': categories, 'overlaps': overlaps}


def _bounds(mask):
  """Returns the tight box of a mask."""
  lines = [np.flatnonzero(mask.any(axis)) for axis in (1, 0)]
  return np.array(
      [line[0] for line in lines] + [line[-1] + 1 for line in lines]
  )
