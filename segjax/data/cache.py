"""In-memory cache of decoded examples.

Decoding an image and a mask of 1024 x 2048 takes about four times as long as
the usual augmentation of them.
"""

import threading
from typing import Any

import numpy as np


class Cached:
  """A data set that keeps its decoded examples in memory, up to a limit.

  Examples are kept in the order in which they are first read, until the memory
  is used up, and are never dropped; the others are read again each time. Arrays
  of kept examples are read-only.
  """

  def __init__(self, dataset: Any, gigabytes: float):
    """Wraps a data set.

    Args:
      dataset: a `datasets.Dataset`, whose examples are dicts with arrays.
      gigabytes: memory limit; 0 keeps nothing.
    """
    if not gigabytes >= 0:
      raise ValueError(
          f'{gigabytes} GB of decoded examples cannot be kept: give 0 or more'
      )
    self._dataset = dataset
    self._bytes_left = gigabytes * 1e9
    self._examples = {}
    self._lock = threading.Lock()

  def __len__(self):
    return len(self._dataset)

  def __getitem__(self, index):
    if index in self._examples:
      return self._examples[index]
    example = self._dataset[index]
    arrays = [v for v in example.values() if isinstance(v, np.ndarray)]
    size = sum(array.nbytes for array in arrays)
    with self._lock:
      if size <= self._bytes_left and index not in self._examples:
        for array in arrays:
          array.flags.writeable = False
        self._bytes_left -= size
        self._examples[index] = example
    return example
