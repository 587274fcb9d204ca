"""Scores of regions that membranes part: Rand, information, pixel error.

In the manner of the ISBI 2012 challenge: Arganda-Carreras et al. 2015,
Crowdsourcing the creation of image segmentation algorithms for connectomics,
https://doi.org/10.3389/fnana.2015.00142. What they see is which pixels are of
one region: a gap in a membrane costs little in pixels and much here.

The scores are those of label maps. The challenge's are the best over all
thresholds of the probability of a membrane, so they are a little higher.
"""

import cv2
import numpy as np
from scipy import ndimage

NAMES = ('V_rand', 'V_info', 'pixel_error')


def scores(prediction, label, boundary, ignore=255):
  """Scores the regions of one image, to be averaged over images.

  Regions are connected by edges, not corners. Their boundaries have no width:
  those that were predicted are thinned until every pixel is of the nearest
  region, and pixels on those of the truth do not count (the scores are
  foreground-restricted).

  Args:
    prediction: [H, W], integers.
    label: [H, W], integers; `ignore` is beyond all regions.
    boundary: the class between regions.
    ignore: label of pixels that count neither as right nor as wrong.

  Returns:
    [3] float64, of `NAMES`: `V_rand` and `V_info`, 1 for the same regions; and
    `pixel_error`, the fraction of pixels that are wrongly on a boundary or off
    one. All are NaN if the truth has no region.
  """
  valid = label != ignore
  inside = valid & (label != boundary)
  if not inside.any():
    return np.full(len(NAMES), np.nan)
  truth = _parts(inside)[inside]
  predicted = _thinned(prediction != boundary)[inside]
  table = joint(truth, predicted)
  wrong = (prediction == boundary) != (label == boundary)
  return np.array(
      [rand_score(table), information_score(table), wrong[valid].mean()]
  )


def joint(truth, predicted):
  """Returns how often two regions share a pixel, as parts of 1: [S, T].

  Args:
    truth: regions of pixels [N], integers.
    predicted: those of the same pixels in another image, [N].
  """
  _, truth = np.unique(truth, return_inverse=True)
  _, predicted = np.unique(predicted, return_inverse=True)
  shape = truth.max() + 1, predicted.max() + 1
  cell = np.ravel_multi_index((truth, predicted), shape)
  counts = np.bincount(cell, minlength=np.prod(shape))
  return counts.reshape(shape) / truth.size


def rand_score(table):
  """Harmonic mean of precision and recall of pairs of pixels in one region.

  One minus this is the adapted Rand error.

  Args:
    table: from `joint`.
  """
  pairs = np.square(table).sum()
  true, predicted = np.square(table.sum(1)).sum(), np.square(table.sum(0)).sum()
  return 2 * pairs / (true + predicted)


def information_score(table):
  """What regions tell of the others, by the mean of both entropies.

  Args:
    table: from `joint`.
  """
  true, predicted = _entropy(table.sum(1)), _entropy(table.sum(0))
  if true + predicted == 0:
    return np.float64(1)  # One region each, the same.
  mutual = true + predicted - _entropy(table)
  return 2 * max(mutual, 0.0) / (true + predicted)  # But for rounding.


def _entropy(parts):
  parts = parts[parts > 0]
  return -(parts * np.log(parts)).sum()


def _parts(inside):
  """Numbers the connected parts of a mask [H, W] from 1 on."""
  return cv2.connectedComponents(np.uint8(inside), connectivity=4)[1]


def _thinned(inside):
  """Numbers the regions of a mask [H, W], each grown to meet the others."""
  parts = _parts(inside)
  if not inside.any():
    return parts  # A boundary all over parts nothing.
  nearest = ndimage.distance_transform_edt(
      ~inside, return_distances=False, return_indices=True
  )
  return parts[tuple(nearest)]
