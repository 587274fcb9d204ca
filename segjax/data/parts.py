"""Data sets that are parts of another one, and mixtures of several."""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
from typing import Any

import numpy as np

from segjax.data.datasets import Dataset
from segjax.data.values import Values


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


class Mixed(Dataset):
  """Several data sets of the same classes, one behind the other.

  Names of examples begin with that of their set. A set is trained on as often
  as its weight says, whatever its size; see `pipeline.train_batches`.
  """

  def __init__(
      self,
      sets: Mapping[str, Dataset],
      weights: Mapping[str, float],
      split: str,
  ):
    """Takes the sets.

    Args:
      sets: {name: data set}.
      weights: {name: how often its examples are drawn}, positive numbers.
      split: name of the split of all of them.

    Raises:
      ValueError: the sets have different classes.
    """
    self.split, self.sources = split, tuple(sets)
    self._sets = tuple(sets.values())
    self._weights = [weights[name] for name in sets]
    self._starts = np.cumsum([0, *map(len, self._sets)])
    first = self._sets[0]
    for name, dataset in sets.items():
      if dataset.label_map.names != first.label_map.names:
        raise ValueError(
            f'The classes of {name} are'
            f' {", ".join(dataset.label_map.names[:8])}, and those of'
            f' {self.sources[0]} {", ".join(first.label_map.names[:8])}: data'
            ' sets that are mixed have the same classes in the same order. A'
            ' dataset.json says which ids in masks they are.'
        )
    self.label_map = first.label_map
    self.proposals = first.proposals

  def __len__(self):
    return int(self._starts[-1])

  def _find(self, index):
    """Returns the number of the set of an example, and its index there."""
    number = int(np.searchsorted(self._starts, index, 'right')) - 1
    return number, int(index - self._starts[number])

  def __getitem__(self, index):
    number, inside = self._find(index)
    example = self._sets[number][inside]
    return {**example, 'name': f'{self.sources[number]}/{example["name"]}'}

  def mix(self) -> list[tuple[range, float]]:
    """Returns the indices of the examples of each set, and its weight."""
    starts = self._starts.tolist()
    return [
        (range(starts[number], starts[number + 1]), weight)
        for number, weight in enumerate(self._weights)
    ]

  def source(self, index):
    """Returns the name of the set that an example is of."""
    return self.sources[self._find(index)[0]]

  @property
  def left_out(self):
    """Sentences about files of the sets that are no examples."""
    return tuple(
        text for one in self._sets for text in getattr(one, 'left_out', ())
    )

  @functools.cached_property
  def channels(self):
    """Number of channels of the images of all sets.

    Raises:
      ValueError: the sets differ in it.
    """
    channels = [dataset.channels for dataset in self._sets]
    if len(set(channels)) > 1:
      words = (
          f'{name} has images of {number} channels'
          for name, number in zip(self.sources, channels, strict=True)
      )
      raise ValueError(f'{", ".join(words)}: they cannot be mixed.')
    return channels[0]

  @functools.cached_property
  def values(self):
    """Type and range of the images of all sets together."""
    values = [dataset.values for dataset in self._sets]
    return Values(
        dtypes=tuple(sorted({name for one in values for name in one.dtypes})),
        low=min(one.low for one in values),
        high=max(one.high for one in values),
    )

  def where(self, index):
    """Describes the files that are read for an example, for errors."""
    number, inside = self._find(index)
    return self._sets[number].where(inside)

  def origin(self, index):
    """Returns the data set that reads an example, and its index there."""
    number, inside = self._find(index)
    return self._sets[number].origin(inside)
