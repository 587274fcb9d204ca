"""Ops that make examples of refinement: a mask, and a damaged copy of it.

CascadePSP, https://arxiv.org/abs/2005.02551, section 3.4: a network that
refines masks of any kind is trained on masks with damaged outlines.
"""

import dataclasses
import math
import zlib

import cv2
import grain
import numpy as np

from segjax.data.label_map import IGNORE

ROUNDS = 250  # At most, of 4 changes each.
SHORTEST = 10  # Contours with fewer points are left out.
ELEMENT_SIDES = (3, 9)  # Of the elements of dilations and erosions.


@dataclasses.dataclass(frozen=True)
class PerturbedMasks(grain.transforms.RandomMap):
  """Chooses a class of the label, and adds a damaged mask of it.

  The label becomes 1 on the class, 0 elsewhere and 255 where it was, and
  `coarse_mask` [H, W] is 1 on the damaged mask and 0 elsewhere. It comes behind
  all that moves pixels.

  Attributes:
    lowest_iou: of the damaged masks, about: each has a target that is drawn
      uniformly from here to 1.
    classes: to choose from, each of them alike that the label shows; () for
      all.
    min_area: of a class that is chosen, in pixels, where there is one.
  """

  lowest_iou: float = 0.8
  classes: tuple[int, ...] = ()
  min_area: int = 100

  derives = ('coarse_mask',)

  def __post_init__(self):
    if not 0 < self.lowest_iou < 1 or self.min_area < 0:
      raise ValueError(
          f'lowest_iou={self.lowest_iou} is between 0 and 1, and'
          f' min_area={self.min_area} not negative'
      )

  def random_map(self, features, rng):
    if 'label' not in features:
      raise ValueError('perturbed_masks needs a label')
    label = features['label']
    mask = self._choose(label, rng)
    target = rng.uniform(self.lowest_iou, 1)
    coarse = perturb(mask, target, rng)
    coarse[label == IGNORE] = 0
    return {
        **features,
        'label': np.where(label == IGNORE, label, mask),
        'coarse_mask': coarse.astype(np.float32),
    }

  def _choose(self, label, rng):
    """Returns the mask of a random class, [H, W] uint8."""
    counts = np.bincount(label.ravel(), minlength=IGNORE + 1)
    counts[IGNORE] = 0
    if self.classes:
      others = np.setdiff1d(np.arange(len(counts)), self.classes)
      counts[others] = 0
    large = np.flatnonzero(counts >= max(self.min_area, 1))
    if not large.size:
      large = np.flatnonzero(counts)
    chosen = rng.choice(large) if large.size else IGNORE
    return np.uint8((label == chosen) & (label != IGNORE))


@dataclasses.dataclass(frozen=True)
class FixedMasks(grain.transforms.Map):
  """Does the same as `perturbed_masks`, always alike for an image.

  It is for evaluation: the refinement of masks that are damaged in this way.
  The choice depends on the name of the image. Where there is a `coarse_mask`
  already, as in prediction, nothing changes.
  """

  lowest_iou: float = 0.8
  classes: tuple[int, ...] = ()
  min_area: int = 100

  derives = ('coarse_mask',)
  on_truth = True

  def __post_init__(self):
    self._op()  # Checks the fields.

  def map(self, features):
    if 'coarse_mask' in features:
      return features
    if 'label' not in features:
      raise ValueError(
          'there is nothing to refine: give a coarse_mask [H, W] of 0 to 1'
      )
    seed = zlib.crc32(features['name'].encode())
    return self._op().random_map(features, np.random.default_rng(seed))

  def _op(self):
    return PerturbedMasks(self.lowest_iou, self.classes, self.min_area)


def perturb(
    mask: np.ndarray, target: float, rng: np.random.Generator
) -> np.ndarray:
  """Returns a mask with damaged outlines.

  First the outlines lose a tenth of their points in a row, and then nine of
  ten. Then parts of the mask grow and shrink at random.

  Args:
    mask: [H, W] uint8, 0 or 1.
    target: changes go on until the intersection over union with the mask of
      fewer points falls below this.
    rng: a NumPy Generator.

  Returns:
    [H, W] uint8.
  """
  contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
  rough = [
      _thinned(contour, rng) for contour in contours if len(contour) >= SHORTEST
  ]
  rough = [contour for contour in rough if len(contour)]
  if rough:
    coarse = cv2.drawContours(np.zeros_like(mask), rough, -1, 1, -1)
  else:
    coarse = mask.copy()
  start = coarse.copy()
  for _ in range(ROUNDS):
    for _ in range(4):
      _change(coarse, rng)
    union = np.count_nonzero(start | coarse)
    if np.count_nonzero(start & coarse) < target * union:
      break
  return coarse


def _thinned(contour, rng):
  """Returns the points of a contour [N, 1, 2] that are left."""
  count = len(contour)
  gap = count // 10
  # The gap is where its ends are near each other, such as around a tip.
  ends = np.square(contour[gap:] - contour[: count - gap]).sum((1, 2))
  nearest = np.argsort(ends, kind='stable')[: math.ceil(0.1 * len(ends))]
  start = rng.choice(nearest)
  rest = np.concatenate([contour[:start], contour[start + gap :]])
  kept = rng.choice(len(rest), len(rest) // 10, replace=False)
  return rest[np.sort(kept)]


def _change(mask, rng):
  """Lets a mask grow or shrink in a random rectangle, in place."""
  height, width = mask.shape
  top, left = rng.integers(height), rng.integers(width)
  bottom = rng.integers(top + 1, height + 1)
  right = rng.integers(left + 1, width + 1)
  if rng.random() < 0.25:
    mask[(top + bottom) // 2, (left + right) // 2] = rng.integers(2)
  part = mask[top:bottom, left:right]
  operation = cv2.dilate if rng.integers(2) else cv2.erode
  part[:] = operation(np.ascontiguousarray(part), _element(rng))


def _element(rng):
  """Returns a random element: a square, an ellipse or a half of one."""
  low, high = ELEMENT_SIDES
  side = int(rng.integers(low, high + 1))
  kind = rng.integers(4)
  if kind == 0:
    return np.ones((side, side), np.uint8)
  element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
  if kind == 2:
    element[: side // 2] = 0
  elif kind == 3:
    element[:, : side // 2] = 0
  return element
