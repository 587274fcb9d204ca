"""Divides the examples of a split into folds, for cross-validation.

A small data set has too few examples for a split of their own to tell how well
a model does. Each fold is held out once while the rest trains, and a score is
told as mean and standard deviation over the folds.
"""

import re

import numpy as np


def parse(text: str) -> tuple[int, int]:
  """Returns which fold is held out, and of how many: '2/5' is (2, 5).

  Raises:
    ValueError: the text is no fold, which are counted from 1.
  """
  match = re.fullmatch(r'\s*(\d+)\s*/\s*(\d+)\s*', text)
  fold, count = map(int, match.groups()) if match else (0, 0)
  if not 1 <= fold <= count or count < 2:
    raise ValueError(
        f'config.dataset.fold={text!r} holds out a part of the training split:'
        " write which one and of how many, '1/5' to '5/5', or '' for none."
    )
  return fold, count


def divide(present: np.ndarray, count: int, seed: int) -> np.ndarray:
  """Returns the fold of each example, [N], from 1 to `count`.

  The sizes of folds differ by one example at most, and each class is shown by
  about as many examples of one fold as of another. Classes are dealt out one
  after another, the rarest first, each example to the fold that lacks most of
  the class: the iterative stratification of Sechidis et al., On the
  Stratification of Multi-label Data, 2011,
  https://doi.org/10.1007/978-3-642-23808-6_10, with folds that are full left
  out.

  Args:
    present: whether each example shows each class, [N, K].
    count: number of folds.
    seed: decides between examples, and between folds, that are alike.

  Raises:
    ValueError: there are fewer examples than folds.
  """
  present = np.asarray(present, bool)
  length, num_classes = present.shape
  if length < count:
    raise ValueError(
        f'The training split has {length} examples, too few for {count} folds.'
    )
  rng = np.random.default_rng(seed)
  room = np.full(count, length // count)
  room[rng.permutation(count)[: length % count]] += 1
  lacking = np.tile(present.sum(0) / count, (count, 1))
  folds = np.zeros(length, int)

  def deal(example, lacks):
    """Gives an example to a fold with room that lacks most."""
    order = np.lexsort((rng.random(count), -room, -lacks, room == 0))
    fold = order[0]
    folds[example] = fold + 1
    room[fold] -= 1
    lacking[fold] -= present[example]

  for _ in range(num_classes):
    left = present[folds == 0].sum(0)
    if not left.any():
      break
    rarest = np.where(left > 0, left, length + 1).argmin()
    for example in rng.permutation(length):
      if not folds[example] and present[example, rarest]:
        deal(example, lacking[:, rarest])
  for example in rng.permutation(length):  # Those that show no class.
    if not folds[example]:
      deal(example, np.zeros(count))
  return folds
