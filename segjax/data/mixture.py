"""Several data sets of the same classes as one, each as often as wanted."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from segjax.data import datasets
from segjax.data.datasets import Dataset
from segjax.data.values import Values


@dataclasses.dataclass(frozen=True)
class Source:
  """Where examples come from: a data set, and how often it is drawn.

  Attributes:
    kind: name of a file in segjax/data/datasets.
    folder: of its files; '' is the usual one.
    options: that only this data set has.
    weight: how often its examples are drawn, a positive number.
  """

  kind: str
  folder: str
  options: Mapping[str, Any]
  weight: float = 1.0

  def load(self, split: str) -> Dataset:
    """Loads a split; see `datasets.load`."""
    return datasets.load(self.kind, split, self.folder, **self.options)


def parse(
    mix: Sequence[tuple[str, float]], kind: str, options: Mapping[str, Any]
) -> dict[str, Source]:
  """Returns the sources that a config mixes, by their names.

  The name of a source is that of its folder, or the whole path where two are
  called the same.

  Args:
    mix: folders with their weights; a folder of another data set than `kind`
      has its name before it, as in 'camvid:folder'.
    kind: name of the data set that folders are of.
    options: of that data set.

  Raises:
    ValueError: there is something else in the mix, or a folder twice.
  """
  try:
    entries = [(str(text), float(weight)) for text, weight in mix]
    good = all(0 < weight < np.inf for _, weight in entries)
  except (TypeError, ValueError):
    good = False
  if not good:
    raise ValueError(
        f'config.dataset.mix={mix!r} is a list of folders with weights above 0,'
        " such as (('mydata', 3.0), ('more', 1.0))."
    )
  sources = {}
  for text, weight in entries:
    given, _, folder = text.partition(':')
    if given not in datasets.names():
      given, folder = kind, text
    path = pathlib.PurePath(folder)
    name = path.name if path.name not in sources else str(path)
    if (given, folder) in [(s.kind, s.folder) for s in sources.values()]:
      raise ValueError(f'config.dataset.mix={mix!r} has {text} twice.')
    own = options if given == kind else {}
    sources[name] = Source(given, folder, own, weight)
  return sources


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
