"""What a run trains on and what it evaluates.

These are splits of a data set, or the folds of one split; and where several
data sets are mixed, the same of each of them.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools

import numpy as np

from segjax.data import datasets
from segjax.data import folds
from segjax.data import mixture
from segjax.data import statistics
from segjax.data.datasets import Dataset
from segjax.data.parts import Part
from segjax.runtime import hosts

# {what folds depend on: the fold of each example}, of this process.
_FOLDS = {}


@dataclasses.dataclass(frozen=True)
class Splits:
  """The splits of the data set of a run, or of those that it mixes.

  Attributes:
    sources: the data sets by name; a single one that is not mixed has any name.
    mixed: whether the examples of all sources make one data set.
    train_split: name of the split that is trained on.
    eval_split: name of the one that is evaluated.
    fold: '2/5' evaluates the second of five folds of `train_split`, in the
      place of `eval_split`, and trains on the others; '' has no folds.
    seed: of the folds.
    on_bad_example: what to do with an unreadable mask while examples are
      divided into folds, 'raise' or 'skip'.
  """

  sources: Mapping[str, mixture.Source]
  mixed: bool
  train_split: str
  eval_split: str
  fold: str
  seed: int
  on_bad_example: str

  def load(self, split: str) -> Dataset:
    """Returns a split; of a mixture, that of all sets which have it."""
    return self._joined(self._load_each(split), split)

  def load_train(self) -> Dataset:
    """Returns what is trained on, without the fold that is held out.

    Raises:
      ValueError: one of the sets that are mixed lacks the split.
    """
    sets = self._load_each(self.train_split)
    lacking = [name for name in self.sources if name not in sets]
    if lacking:
      raise ValueError(
          f'config.dataset.mix: {", ".join(lacking)} has no split'
          f' {self.train_split!r} to be trained on.'
      )
    if not self.fold:
      return self._joined(sets, self.train_split)
    return self._folded(sets, f'all-but-{self.eval_name}', np.not_equal)

  def load_eval(self) -> Dataset:
    """Returns what is evaluated: a split, or the fold that is held out."""
    if not self.fold:
      return self.load(self.eval_split)
    sets = self._load_each(self.train_split)
    return self._folded(sets, self.eval_name, np.equal)

  @property
  def eval_name(self) -> str:
    """Name of what is evaluated, such as 'val' or 'train-2-of-5'."""
    if not self.fold:
      return self.eval_split
    fold, count = folds.parse(self.fold)
    return f'{self.train_split}-{fold}-of-{count}'

  def _load_each(self, split):
    """Returns {name: data set} of the sets that have a split.

    Raises:
      datasets.NoSplitError: none has it.
    """
    sets, error = {}, None
    for name, source in self.sources.items():
      try:
        sets[name] = source.load(split)
      except datasets.NoSplitError as missing:
        error = error or missing
    if not sets:
      raise error
    return sets

  def _folded(self, sets, name, compare: Callable):
    """Returns examples of data sets by their folds, as one data set.

    Args:
      sets: {name: data set}.
      name: of these examples, in the place of a split.
      compare: what holds for their folds and the one that is held out.
    """
    fold, count = folds.parse(self.fold)
    parts = {}
    for key, whole in sets.items():
      numbers = self._fold_of_examples(self.sources[key], whole, count)
      indices = np.flatnonzero(compare(numbers, fold))
      parts[key] = Part(whole, indices, name)
    return self._joined(parts, name)

  def _fold_of_examples(self, source, whole, count):
    """Returns the fold of each example, [N] from 1 on.

    Every mask is read once in a process.
    """
    of_set = source.kind, source.folder, repr(source.options), len(whole)
    key = (*of_set, self.train_split, self.seed, count)
    if key not in _FOLDS:
      read = functools.partial(
          statistics.class_counts, whole, on_bad_example=self.on_bad_example
      )
      pixels = hosts.from_first(read)[:, :-1]
      _FOLDS[key] = folds.divide(pixels > 0, count, self.seed)
    return _FOLDS[key]

  def _joined(self, sets, split):
    """Returns {name: data set} as one data set."""
    if not self.mixed:
      (dataset,) = sets.values()
      return dataset
    weights = {name: self.sources[name].weight for name in sets}
    return mixture.Mixed(sets, weights, split)
