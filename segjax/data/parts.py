"""Data sets that are parts of another one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from segjax.data.datasets import Dataset


class Part(Dataset):
  """Some of the examples of a data set.

  Classes, channels and values are those of the whole data set, so that parts
  that are trained on and evaluated agree.
  """

  def __init__(self, dataset: Any, indices: Sequence[int], split: str = ''):
    """Takes some examples.

    Args:
      dataset: a `Dataset`, or what wraps one.
      indices: of the examples, in the order that they get.
      split: name of the part, in the place of that of the split.
    """
    self._dataset = dataset
    self._indices = np.asarray(indices, int)
    self.split = split

  def __len__(self):
    return len(self._indices)

  def __getitem__(self, index):
    return self._dataset[int(self._indices[index])]

  @property
  def label_map(self):
    """The classes of the data set."""
    return self._dataset.label_map

  @property
  def proposals(self):
    """Number of region proposals of each example."""
    return self._dataset.proposals

  @property
  def sources(self):
    """Names of the sets of a mixture."""
    return self._dataset.sources

  def source(self, index):
    """Returns the name of the set that an example is of, or ''."""
    return self._dataset.source(int(self._indices[index]))

  @property
  def left_out(self):
    """Sentences about files of the data set that are no examples."""
    return getattr(self._dataset, 'left_out', ())

  @property
  def channels(self):
    """Number of channels of the images of the data set."""
    return self._dataset.channels

  @property
  def values(self):
    """Type and range of the images of the data set."""
    return self._dataset.values

  def where(self, index):
    """Describes the files that are read for an example, for errors."""
    return self._dataset.where(int(self._indices[index]))

  def origin(self, index):
    """Returns the data set that reads an example, and its index there."""
    return self._dataset.origin(int(self._indices[index]))
