"""A data set in memory: what has been decoded once need not be again.

Reading an image and a mask of 1024 x 2048 takes about four times as long as all
that training usually does to them.
"""

import threading

import numpy as np


class Cached:
  """A data set that keeps the examples it has read, as long as they fit.

  What does not fit any more is read each time; so a part of the examples, the
  first that were asked for, is fast for good, in whatever order they come.
  Everything else about the data set is as it was. Kept arrays are read-only.
  """

  def __init__(self, dataset, gigabytes):
    """Wraps a data set.

    Args:
      dataset: of examples, dicts with arrays; see `datasets.Dataset`.
      gigabytes: memory to spend; 0 keeps nothing.
    """
    if not gigabytes >= 0:
      raise ValueError(
          f'{gigabytes} GB of decoded examples cannot be kept: give 0 or more'
      )
    self._dataset = dataset
    self._left = gigabytes * 1e9
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
      if size <= self._left and index not in self._examples:
        for array in arrays:
          array.flags.writeable = False
        self._left -= size
        self._examples[index] = example
    return example
