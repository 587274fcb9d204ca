"""Ops on objects: connected components of all classes but 0, the background."""

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
  """Cuts out the box of a random object and resizes it to the size.

  The sides of the box are multiplied by `enlarge`. All objects of an image are
  equally likely; an image without objects is taken whole. With `overlap` 1,
  other objects become background in the label. With less, the box is replaced,
  like a proposal, by a random one whose intersection over union with it is at
  least `overlap`, and the label keeps all objects. These are the two stages of
  training DeconvNet, https://arxiv.org/abs/1505.04366.
  """

  enlarge: float = 1.2
  overlap: float = 1.0

  def __post_init__(self):
    super().__post_init__()
    if self.enlarge <= 0 or not 0 < self.overlap <= 1:
      raise ValueError(
          f'enlarge={self.enlarge}, overlap={self.overlap}: enlarge is'
          ' positive, and overlap is above 0 and at most 1'
      )

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
      box = boxes.expand(self._draw(_bounds(mask), rng), self.enlarge)
      if self.overlap == 1:
        label = np.where(mask | (label == IGNORE), label, 0)
    n = boxes.excess(box, label.shape)
    y0, x0, y1, x1 = box + n
    image = np.pad(image, ((n, n), (n, n), (0, 0)))[y0:y1, x0:x1]
    label = np.pad(label, n, constant_values=IGNORE)[y0:y1, x0:x1]
    features = {**features, 'image': image, 'label': label}
    return Resize(self.height, self.width).map(features)

  def _draw(self, box, rng):
    """Draws a box that overlaps `box` enough; after 50 failures it is `box`."""
    reach = np.tile(box[2:] - box[:2], 2) * (1 - self.overlap)
    for _ in range(50):
      drawn = box + rng.uniform(-reach, reach)
      if boxes.overlap(drawn, box) >= self.overlap:
        return drawn
    return box


@dataclasses.dataclass(frozen=True)
class LabelProposals(grain.transforms.Map):
  """Adds the class and overlap of the object that each region proposal shows.

  The fields are `categories` [N] and `overlaps` [N]; see `proposals.assign`.
  """

  derives = ('categories', 'overlaps')

  def map(self, features):
    fields.check(('label', 'proposals'), features, 'label_proposals')
    categories, overlaps = proposals.assign(
        features['proposals'], features['label']
    )
    return {**features, 'categories': categories, 'overlaps': overlaps}


def _bounds(mask):
  """Returns the bounding box of a mask [H, W], y0 x0 y1 x1, ends exclusive."""
  lines = [np.flatnonzero(mask.any(axis)) for axis in (1, 0)]
  return np.array(
      [line[0] for line in lines] + [line[-1] + 1 for line in lines]
  )
