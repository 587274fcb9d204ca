"""Scores of boundaries: boundary IoU and boundary F.

Boundary IoU, https://arxiv.org/abs/2103.16562, compares the bands of pixels
just inside the outlines of truth and prediction, so it sees errors that the
inside of a large object hides. Boundary F, https://arxiv.org/abs/1907.05740,
compares the outlines themselves up to a tolerance.

Checked against boundary-iou-api and GSCNN's `f_boundary.py`.
"""

import math

import cv2
import numpy as np

# No class: ignored, beyond the image, or not in a band. As the largest uint8 it
# is written by a maximum, several times faster than by np.where.
OUTSIDE = np.uint8(255)


def band_counts(prediction, label, num_classes, ignore=255, ratio=0.02):
  """Counts the pixels of the inner bands that boundary IoU compares.

  Args:
    prediction: [H, W] uint8, ids in [0, num_classes).
    label: [H, W] uint8, ids in [0, num_classes) or `ignore`. Ignored pixels are
      cleared from the prediction too.
    num_classes: number of classes K.
    ignore: label of pixels that count neither as right nor as wrong.
    ratio: width of a band as a fraction of the image's diagonal.

  Returns:
    [3, K] int64, to be summed over images: pixels in both bands, in the band of
    the truth, in the band of the prediction. `semantic.iou(*counts)` is the
    boundary IoU of each class.
  """
  width = max(1, round(ratio * math.hypot(*label.shape)))
  ignored = label == ignore
  truth = _bands(np.maximum(label, ignored * OUTSIDE), width)
  predicted = _bands(np.maximum(prediction, ignored * OUTSIDE), width)
  both = truth[truth == predicted]
  return np.stack(
      [
          np.bincount(ids[ids != OUTSIDE], minlength=num_classes)
          for ids in (both, truth, predicted)
      ]
  )


def boundary_f(prediction, label, num_classes, ignore=255, tolerance=0.00375):
  """Boundary F of each class, [K] float64, to be averaged over images.

  Args:
    prediction: [H, W] uint8, ids in [0, num_classes).
    label: [H, W] uint8, ids in [0, num_classes) or `ignore`. Ignored pixels
      belong to no class on either side.
    num_classes: number of classes K.
    ignore: label of pixels that count neither as right nor as wrong.
    tolerance: how far apart two outlines may lie and still match, as a fraction
      of the image's diagonal; GSCNN reports 0.00088, 0.001875, 0.00375, 0.005.

  Returns:
    The harmonic mean of the precision and the recall of the outline's pixels; 1
    for a class that has an outline in neither.
  """
  radius = math.ceil(tolerance * math.hypot(*label.shape))
  y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
  disk = np.uint8(y * y + x * x <= radius * radius)
  ignored = label == ignore
  result = np.ones(num_classes)
  for c in range(num_classes):
    truth = _outline((label == c) & ~ignored)
    predicted = _outline((prediction == c) & ~ignored)
    if not truth.any() and not predicted.any():
      continue
    recall = _share(truth, cv2.dilate(predicted, disk))
    precision = _share(predicted, cv2.dilate(truth, disk))
    result[c] = 2 * precision * recall / max(precision + recall, 1e-300)
  return result


def _bands(ids, width):
  """Keeps the ids [H, W] within `width` of another id or of the border.

  That is each class's mask minus its erosion by a square, for all classes at
  once: a pixel survives the erosion if the square around it has one id alone.
  """
  square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
  highest = cv2.dilate(
      ids, square, borderType=cv2.BORDER_CONSTANT, borderValue=int(OUTSIDE)
  )
  lowest = cv2.erode(ids, square)
  return np.maximum(ids, (highest == lowest) * OUTSIDE)


def _outline(mask):
  """Pixels of a mask [H, W] that differ from right, lower or both neighbour."""
  padded = np.pad(mask, ((0, 1), (0, 1)), mode='edge')
  right, lower, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
  return np.uint8((mask != right) | (mask != lower) | (mask != diagonal))


def _share(outline, near):
  """Fraction of an outline's pixels that lie near the other outline."""
  total = np.count_nonzero(outline)
  return np.count_nonzero(outline & near) / total if total else 1.0
