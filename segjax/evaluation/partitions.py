"""Scores of partitions: Rand score, information score and pixel error.

They are the scores of the ISBI 2012 challenge: Arganda-Carreras et al. 2015,
Crowdsourcing the creation of image segmentation algorithms for connectomics,
https://doi.org/10.3389/fnana.2015.00142. The first two compare which pixels
belong to the same region. A gap in a membrane joins two regions, so it costs
few pixels but much of these scores.

The scores here are of label maps. The challenge takes the best over all
thresholds of the probability of a membrane, so its scores are a little higher.
"""

import cv2
import numpy as np
from scipy import ndimage

NAMES = ('V_rand', 'V_info', 'pixel_error')


def scores(
    prediction: np.ndarray, label: np.ndarray, boundary: int, ignore: int = 255
) -> np.ndarray:
  """Scores the partition of one image into regions.

  Regions are 4-connected. The width of boundaries does not count: each pixel of
  a predicted boundary is assigned to the nearest region, and the pixels of true
  boundaries are left out (the scores are foreground-restricted).

  Args:
    prediction: [H, W], integers.
    label: [H, W], integers.
    boundary: the class between regions.
    ignore: label of pixels that do not count and belong to no region.

  Returns:
    [3] float64 in the order of `NAMES`, to be averaged over images: `V_rand`
    and `V_info`, which are 1 for equal partitions, and `pixel_error`, the share
    of pixels wrongly labelled as boundary or as region. All are NaN if the
    truth has no region.
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


def joint(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
  """Returns the joint distribution of true and predicted regions, [S, T].

  Entry [s, t] is the share of pixels that lie in true region s and in predicted
  region t.

  Args:
    truth: [N] integers, the true region of each pixel.
    predicted: [N] integers, the predicted region of each pixel.
  """
  _, truth = np.unique(truth, return_inverse=True)
  _, predicted = np.unique(predicted, return_inverse=True)
  shape = truth.max() + 1, predicted.max() + 1
  cell = np.ravel_multi_index((truth, predicted), shape)
  counts = np.bincount(cell, minlength=np.prod(shape))
  return counts.reshape(shape) / truth.size


def rand_score(table: np.ndarray) -> float:
  """Computes the Rand F score; one minus it is the adapted Rand error.

  It is the harmonic mean of precision and recall over pairs of pixels, of which
  those in the same region are the positives.

  Args:
    table: from `joint`.
  """
  pairs = np.square(table).sum()
  true, predicted = np.square(table.sum(1)).sum(), np.square(table.sum(0)).sum()
  return 2 * pairs / (true + predicted)


def information_score(table: np.ndarray) -> float:
  """Computes the mutual information of partitions over their mean entropy.

  Args:
    table: from `joint`.
  """
  true, predicted = _entropy(table.sum(1)), _entropy(table.sum(0))
  if true + predicted == 0:
    return np.float64(1)  # Both partitions consist of one region.
  mutual = true + predicted - _entropy(table)
  # By rounding the mutual information may be negative.
  return 2 * max(mutual, 0.0) / (true + predicted)


def _entropy(shares):
  shares = shares[shares > 0]
  return -(shares * np.log(shares)).sum()


def _parts(inside):
  """Numbers the connected components of a mask [H, W] from 1 on."""
  return cv2.connectedComponents(np.uint8(inside), connectivity=4)[1]


def _thinned(inside):
  """Numbers the components of a mask [H, W], grown until they meet."""
  parts = _parts(inside)
  if not inside.any():
    return parts  # There is no region to grow.
  nearest = ndimage.distance_transform_edt(
      ~inside, return_distances=False, return_indices=True
  )
  return parts[tuple(nearest)]
