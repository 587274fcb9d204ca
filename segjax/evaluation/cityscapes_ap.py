"""Average precision of object masks as Cityscapes counts it.

The Cityscapes Dataset, https://arxiv.org/abs/1604.01685, section 3. The numbers
are those of cityscapesScripts 2.3.0. It differs from COCO's: overlaps have to
be greater than a threshold, a true object takes the best of all predictions
that overlap it, and the curve is integrated at each score.
"""

import numpy as np

THRESHOLDS = np.arange(0.5, 1.0, 0.05)
MIN_AREA = 100  # Pixels of a true object that counts.
COLUMNS = 4  # Of the rows of `match`.


def match(
    shared: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    truth_areas: np.ndarray,
    groups: np.ndarray,
    void: np.ndarray,
    *,
    category: int,
) -> tuple[np.ndarray, np.ndarray, int]:
  """Decides which predictions of a class in an image are right.

  A prediction that overlaps no true object enough is wrong, unless more of it
  than the threshold lies on void, on groups and on objects that are too small.
  A group that is small counts twice there, as in the original.

  Args:
    shared: [P, G], pixels that predictions and true objects have in common.
    scores: [P].
    areas: [P], pixels of predictions; those without any do not count.
    truth_areas: [G].
    groups: [G], whether a true object is a group that nobody told apart.
    void: [P], pixels of predictions on what is not evaluated.
    category: the class, for the rows.

  Returns:
    Rows [n, COLUMNS] int64 of all that is right or wrong, how many true objects
    are missed at each threshold, [T], and how many there are.
  """
  seen = np.asarray(areas) > 0
  shared, areas, void = shared[seen], areas[seen], void[seen]
  scores = np.asarray(scores, np.float64)[seen]
  groups = np.asarray(groups, bool)
  small = truth_areas < MIN_AREA
  counted = ~groups & ~small
  union = areas[:, None] + truth_areas - shared
  iou = shared / np.maximum(union, 1)
  unjudged = void + (shared * groups).sum(1) + (shared * small).sum(1)
  rows, missed = [], []
  for t, threshold in enumerate(THRESHOLDS):
    enough = iou > threshold
    results = []
    for g in np.flatnonzero(counted):
      found = np.sort(scores[enough[:, g]])[::-1]
      results += [(i == 0, score) for i, score in enumerate(found)]
    alone = ~enough.any(1) & (unjudged / np.maximum(areas, 1) <= threshold)
    results += [(False, score) for score in scores[alone]]
    missed.append((counted & ~enough.any(0)).sum())
    for right, score in results:
      rows.append((category, t, right, np.float64(score).view(np.int64)))
  rows = np.array(rows, np.int64).reshape(-1, COLUMNS)
  return rows, np.array(missed), int(counted.sum())


def average_precision(
    rows: np.ndarray, missed: np.ndarray, totals: np.ndarray
) -> np.ndarray:
  """Returns the AP of classes at `THRESHOLDS`, [K, T].

  It is NaN for a class without a true object, and 0 for one without
  predictions.

  Args:
    rows: [n, COLUMNS], from `match`, of all images in any order.
    missed: [K, T], true objects that no prediction overlaps enough.
    totals: [K], true objects.
  """
  result = np.full(missed.shape, np.nan)
  for category, t in np.ndindex(missed.shape):
    if totals[category]:
      mine = rows[(rows[:, 0] == category) & (rows[:, 1] == t)]
      result[category, t] = _integrate(
          mine[:, 2].astype(bool),
          mine[:, 3].copy().view(np.float64),
          missed[category, t],
      )
  return result


def _integrate(right, scores, missed):
  """Returns the area below precision over recall.

  Args:
    right: [n] booleans.
    scores: [n].
    missed: true objects that nothing has found.
  """
  if not len(right):
    return 0.0
  order = np.argsort(scores)
  _, first = np.unique(scores[order], return_index=True)
  before = np.append(0, np.cumsum(right[order]))[first]  # Right ones below.
  hits = right.sum() - before
  precision = np.append(hits / (len(right) - first), 1.0)
  recall = np.append(hits / np.maximum(right.sum() + missed, 1), 0.0)
  padded = np.concatenate([recall[:1], recall, [0.0]])
  return float(precision @ (padded[:-2] - padded[2:]) / 2)
