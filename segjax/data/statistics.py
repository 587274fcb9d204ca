"""Counts the pixels of each class in a data set, and derives class weights.

Counts are [N, K + 1], a row for each image: the numbers of pixels of classes 0
to K - 1, then of ignored pixels. Frequencies leave out ignored pixels.
"""

from typing import Any

import grain
import numpy as np

from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE


def pixel_counts(label: np.ndarray, num_classes: int) -> np.ndarray:
  """Counts the pixels of each class in one image, [K + 1] int64.

  Args:
    label: [H, W], train ids; any other value is counted as ignored. Where
      classes overlap, [H, W, K]: pixels of several classes count for each, and
      those that are ignored in all are ignored.
    num_classes: number of classes K.
  """
  if label.ndim == 3:
    ignored = (label == IGNORE).all(-1).sum()
    return np.append((label == 1).sum((0, 1)), ignored)
  ids = np.minimum(label, num_classes).ravel()
  return np.bincount(ids, minlength=num_classes + 1)


def class_counts(dataset: Any, *, on_bad_example: str = 'raise') -> np.ndarray:
  """Counts the pixels of each class in all examples, [N, K + 1].

  Args:
    dataset: a `datasets.Dataset` of N examples.
    on_bad_example: 'raise', or 'skip' to count an unreadable example as zeros.
  """
  num_classes = dataset.label_map.num_classes

  def row(i):
    try:
      return pixel_counts(dataset[i]['label'], num_classes)
    except BadExample:
      if on_bad_example == 'raise':
        raise
      return np.zeros(num_classes + 1, np.int64)

  rows = grain.MapDataset.range(len(dataset)).map(row).to_iter_dataset()
  return np.stack(list(rows))


def frequencies(counts: np.ndarray) -> np.ndarray:
  """Returns the share of each class in the pixels that are not ignored, [K]."""
  pixels = counts[:, :-1].sum(0)
  return pixels / max(pixels.sum(), 1)


def median_frequency(counts: np.ndarray) -> np.ndarray:
  """Computes class weights [K] by median frequency balancing.

  The weight is median / f, where f is the pixels of the class divided by the
  pixels of the images in which it occurs. A class that never occurs weighs 0.

  References:
    Eigen and Fergus, Predicting Depth, Surface Normals and Semantic Labels,
    2015, https://arxiv.org/abs/1411.4734.
    Badrinarayanan et al., SegNet, 2015, https://arxiv.org/abs/1511.00561.
  """
  pixels = counts[:, :-1]
  occurs = pixels > 0
  of_images = (occurs * pixels.sum(1, keepdims=True)).sum(0)
  occurring = of_images > 0
  f = pixels.sum(0)[occurring] / of_images[occurring]
  weights = np.zeros(pixels.shape[1])
  weights[occurring] = np.median(f) / f if f.size else 1.0
  return weights


def inverse_log(counts: np.ndarray, *, offset: float = 1.02) -> np.ndarray:
  """Computes class weights [K] of 1 / ln(offset + f), f as in `frequencies`.

  References:
    Paszke et al., ENet, 2016, https://arxiv.org/abs/1606.02147; 1.02 keeps the
    weights between 1 and 50, and 1.1 keeps them below 11.
  """
  return 1 / np.log(offset + frequencies(counts))
