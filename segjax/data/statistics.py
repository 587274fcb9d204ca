"""Counts the pixels of each class in a data set.

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
