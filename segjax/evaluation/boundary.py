"""Scores of boundaries: boundary IoU, boundary F and boundary accuracy.

Boundary IoU, https://arxiv.org/abs/2103.16562, compares the bands of pixels
just inside the outlines of truth and prediction. Plain IoU hides errors there
if an object is large. Boundary F, https://arxiv.org/abs/1907.05740,
compares the outlines themselves up to a tolerance. Mean boundary accuracy,
https://arxiv.org/abs/2005.02551, looks at the pixels near outlines of the
truth, at several distances.

Checked against boundary-iou-api, GSCNN's `f_boundary.py` and CascadePSP's
`compute_boundary_acc.py`.
"""

import math

import cv2
import numpy as np

# The id of pixels that are ignored, outside the image or in no band. Being the
# largest uint8 it can be written by a maximum, which is several times faster
# than np.where.
OUTSIDE = np.uint8(255)


def band_counts(
    prediction: np.ndarray,
    label: np.ndarray,
    num_classes: int,
    ignore: int = 255,
    ratio: float = 0.02,
) -> np.ndarray:
  """Counts the pixels of the inner bands that boundary IoU compares.

  Args:
    prediction: [H, W] uint8, ids in [0, num_classes).
    label: [H, W] uint8, ids in [0, num_classes) or `ignore`. Ignored pixels are
      ignored in the prediction, too.
    num_classes: number of classes K.
    ignore: label of pixels that do not count.
    ratio: width of a band as a fraction of the image's diagonal.

  Returns:
    [3, K] int64, to be summed over images: the pixels in both bands, in the
    band of the truth, and in the band of the prediction.
    `semantic.iou(*counts)` is the boundary IoU of each class.
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


def boundary_f(
    prediction: np.ndarray,
    label: np.ndarray,
    num_classes: int,
    ignore: int = 255,
    tolerance: float = 0.00375,
) -> np.ndarray:
  """Computes the boundary F score of each class of one image.

  Args:
    prediction: [H, W] uint8, ids in [0, num_classes).
    label: [H, W] uint8, ids in [0, num_classes) or `ignore`. Ignored pixels
      belong to no class in truth and prediction.
    num_classes: number of classes K.
    ignore: label of pixels that do not count.
    tolerance: how far apart two outlines may lie and still match, as a fraction
      of the image's diagonal; GSCNN reports 0.00088, 0.001875, 0.00375, 0.005.

  Returns:
    [K] float64, to be averaged over images: the harmonic mean of precision and
    recall of the outline's pixels, or 1 for a class without an outline in truth
    and prediction.
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


def boundary_accuracy(
    prediction: np.ndarray,
    label: np.ndarray,
    ignore: int = 255,
    *,
    subtract_ignored: bool = False,
) -> float:
  """Computes the mean boundary accuracy (mBA) of one image.

  Args:
    prediction: [H, W] uint8, ids.
    label: [H, W] uint8, ids or `ignore`.
    ignore: label of pixels that do not count.
    subtract_ignored: whether the number of ignored pixels near outlines is
      taken off the pixels that agree, also where the prediction does not say
      `ignore` there, as in the code of CascadePSP's authors.

  Returns:
    The share of pixels near outlines of the truth that are right, a mean over
    the five widths of `boundary_radii`; NaN if there is no outline.
  """
  label = np.asarray(label, np.uint8)
  right, ignored = prediction == label, label == ignore
  shares = []
  for radius in boundary_radii(label.shape):
    near = near_outlines(label, radius)
    counted = near & ~ignored
    total = np.count_nonzero(counted)
    if subtract_ignored:
      agreeing = np.count_nonzero(right & near) - (
          np.count_nonzero(near) - total
      )
    else:
      agreeing = np.count_nonzero(right & counted)
    shares.append(agreeing / total if total else np.nan)
  return float(np.mean(shares))


def boundary_radii(size: tuple[int, int]) -> list[int]:
  """Returns how far from an outline pixels are near it, in five steps.

  Args:
    size: (height, width) of the image.
  """
  largest = sum(size) / 300
  return [1 + int((largest - 1) / 5 * i) for i in range(5)]


def near_outlines(label: np.ndarray, radius: int) -> np.ndarray:
  """Returns where two ids are within a disk, [H, W] bool.

  This is the union of the morphological gradients of all classes: the masks'
  dilations by the disk without their erosions.

  Args:
    label: [H, W] uint8.
    radius: of the disk, which OpenCV draws as an ellipse.
  """
  side = 2 * radius + 1
  disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
  return cv2.dilate(label, disk) != cv2.erode(label, disk)


def _bands(ids, width):
  """Keeps the ids [H, W] within `width` of another id or of the border.

  All other pixels become `OUTSIDE`. This is the mask of a class minus its
  erosion by a square, for all classes at once: a pixel survives the erosion if
  the square around it has a single id.
  """
  square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
  highest = cv2.dilate(
      ids, square, borderType=cv2.BORDER_CONSTANT, borderValue=int(OUTSIDE)
  )
  lowest = cv2.erode(ids, square)
  return np.maximum(ids, (highest == lowest) * OUTSIDE)


def _outline(mask):
  """Marks pixels of a mask [H, W] that differ from a neighbour.

  The neighbours are the right, the lower and the lower right pixel.
  """
  padded = np.pad(mask, ((0, 1), (0, 1)), mode='edge')
  right, lower, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
  return np.uint8((mask != right) | (mask != lower) | (mask != diagonal))


def _share(outline, near):
  """Returns the share of an outline's pixels that lie in the mask `near`."""
  total = np.count_nonzero(outline)
  return np.count_nonzero(outline & near) / total if total else 1.0
