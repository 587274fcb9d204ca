"""Average precision of detected objects as COCO counts it.

Microsoft COCO, https://arxiv.org/abs/1405.0312. The numbers are those of
pycocotools 2.0.11. `match` is for the objects of a class in an image; what it
returns is kept for all images, and `accumulate` makes curves of it.
`AveragePrecision` does all of it.
"""

from collections.abc import Sequence

import numpy as np

from segjax.evaluation import collections

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # Of intersections over unions.
RECALLS = np.linspace(0, 1, 101)
AREAS = {
    'all': (0, 1e10),
    'small': (0, 32**2),
    'medium': (32**2, 96**2),
    'large': (96**2, 1e10),
}
LIMITS = (1, 10, 100)  # Detections of a class in an image.
COLUMNS = 6  # Of the rows of `match`.


class AveragePrecision:
  """Precision of detections over a split, added up image by image.

  Args:
    num_classes: K.
  """

  def __init__(self, num_classes: int):
    self._rows = [np.zeros((0, COLUMNS), np.int64)]
    self._totals = np.zeros((num_classes, len(AREAS)), np.int64)

  def add(
      self,
      table: np.ndarray,
      scores: np.ndarray,
      areas: np.ndarray,
      kinds: np.ndarray,
      truth_areas: np.ndarray,
      truth_kinds: np.ndarray,
      crowds: np.ndarray,
      *,
      things: Sequence[int],
      image: int,
  ) -> None:
    """Counts the detections of an image.

    Args:
      table: [D, G], from `overlaps`.
      scores: [D].
      areas: [D], of the detections.
      kinds: [D], their classes.
      truth_areas: [G].
      truth_kinds: [G], classes of the true objects.
      crowds: [G], whether a true object is a group.
      things: the classes that are scored.
      image: number of the image; see `match`.
    """
    for kind in things:
      mine, true = kinds == kind, truth_kinds == kind
      if mine.any() or true.any():
        rows, totals = match(
            table[mine][:, true],
            scores[mine],
            areas[mine],
            truth_areas[true],
            crowds[true],
            category=kind,
            image=image,
        )
        self._rows.append(rows)
        self._totals[kind] += totals

  def gather(self) -> None:
    """Joins what all processes have, each of which saw a part of the split."""
    self._totals = collections.sum_over_processes(self._totals)
    rows = np.concatenate(self._rows)
    self._rows = [collections.rows_of_processes(rows)]

  def compute(self) -> tuple[dict[str, float], np.ndarray]:
    """Returns the numbers of `summarize`, and the AP of each class, [K]."""
    rows = np.concatenate(self._rows)
    precision, recall = accumulate(rows, self._totals)
    return summarize(precision, recall), per_class(precision)


def overlaps(
    shared: np.ndarray,
    areas: np.ndarray,
    truth_areas: np.ndarray,
    crowds: np.ndarray,
) -> np.ndarray:
  """Returns intersections over unions, of a crowd over the detection alone.

  Args:
    shared: [D, G], the area that detections and true objects have in common.
    areas: [D], of the detections.
    truth_areas: [G].
    crowds: [G], whether a true object is a group that nobody told apart.

  Returns:
    [D, G] float64.
  """
  areas = np.asarray(areas, np.float64)[:, None]
  union = np.where(crowds, areas, areas + truth_areas - shared)
  return shared / np.where(union > 0, union, 1)


def box_overlaps(
    boxes: np.ndarray, truth: np.ndarray, crowds: np.ndarray
) -> np.ndarray:
  """Returns `overlaps` of boxes [D, 4] and [G, 4], y0 x0 y1 x1."""
  boxes, truth = (np.asarray(x, np.float64) for x in (boxes, truth))
  low = np.maximum(boxes[:, None, :2], truth[:, :2])
  sides = np.maximum(np.minimum(boxes[:, None, 2:], truth[:, 2:]) - low, 0)
  areas, truth_areas = (
      (x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (boxes, truth)
  )
  return overlaps(sides.prod(-1), areas, truth_areas, crowds)


def match(
    table: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    truth_areas: np.ndarray,
    crowds: np.ndarray,
    *,
    category: int,
    image: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Matches the detections of a class in an image with true objects.

  The best detection takes first: of the true objects that no other has, the one
  with the highest overlap at or above the threshold. What is not to count, a
  crowd or an object of another size, is taken only where there is nothing else,
  and a crowd any number of times. Detections that take it do not count, and
  neither do detections of another size that take nothing.

  Args:
    table: [D, G], from `overlaps`.
    scores: [D].
    areas: [D], of the detections.
    truth_areas: [G].
    crowds: [G], whether a true object is a group.
    category: the class, for the rows.
    image: number of the image; where scores are equal, that of the lower number
      comes first.

  Returns:
    A row for each of the best 100 detections, [n, COLUMNS] int64, and how many
    true objects count for each of `AREAS`, [4].
  """
  crowds = np.asarray(crowds, bool)
  scores = np.asarray(scores, np.float64)
  order = np.argsort(-scores, kind='stable')[: LIMITS[-1]]
  table, areas = table[order], np.asarray(areas)[order]
  flags, totals = np.zeros((2, len(order)), np.int64), []
  for range_index, (low, high) in enumerate(AREAS.values()):
    left_out = crowds | (truth_areas < low) | (truth_areas > high)
    totals.append((~left_out).sum())
    outside = (areas < low) | (areas > high)
    hit, ignored = _match(table, left_out, crowds)
    ignored |= ~hit & outside
    bits = 1 << np.arange(len(THRESHOLDS))
    shift = range_index * len(THRESHOLDS)
    flags[0] |= (hit * bits[:, None]).sum(0) << shift
    flags[1] |= (ignored * bits[:, None]).sum(0) << shift
  columns = [
      np.full(len(order), category),
      np.full(len(order), image),
      np.arange(len(order)),
      scores[order].view(np.int64),
      *flags,
  ]
  return np.stack(columns, -1).astype(np.int64), np.array(totals)


def _match(table, left_out, crowds):
  """Returns which detections hit something, and which hit what is left out.

  Args:
    table: [D, G], the best detection first.
    left_out: [G], true objects that do not count.
    crowds: [G], those that may be taken more than once.

  Returns:
    [T, D] booleans each, a row for each threshold.
  """
  hit, ignored = np.zeros((2, len(THRESHOLDS), len(table)), bool)
  free = np.ones((len(THRESHOLDS), table.shape[1]), bool)
  lowest = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
  if not table.size:
    return hit, ignored
  every = np.arange(len(THRESHOLDS))
  for d, row in enumerate(table):
    usable = (free | crowds) & (row >= lowest)
    counting = usable & ~left_out
    usable = np.where(counting.any(1)[:, None], counting, usable)
    # Of equal overlaps the last is taken.
    value = np.where(usable, row, -1)[:, ::-1]
    taken = table.shape[1] - 1 - value.argmax(1)
    hit[:, d] = usable.any(1)
    ignored[:, d] = hit[:, d] & left_out[taken]
    free[every, taken] &= ~hit[:, d]
  return hit, ignored


def accumulate(
    rows: np.ndarray, totals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns precision and recall of all classes.

  Args:
    rows: [n, COLUMNS], from `match`, of all images in any order.
    totals: [K, 4], how many true objects there are.

  Returns:
    Precision [T, R, K, A, M] at each of `THRESHOLDS`, `RECALLS`, classes,
    `AREAS` and `LIMITS`, and the highest recall [T, K, A, M]; -1 for classes
    without a true object.
  """
  shape = len(totals), len(AREAS), len(LIMITS)
  precision = -np.ones((len(THRESHOLDS), len(RECALLS), *shape))
  recall = -np.ones((len(THRESHOLDS), *shape))
  rows = rows[np.lexsort((rows[:, 2], rows[:, 1]))]
  for category, of_class in enumerate(totals):
    mine = rows[rows[:, 0] == category]
    mine = mine[np.argsort(-mine[:, 3].copy().view(np.float64), kind='stable')]
    for area, total in enumerate(of_class):
      if not total:
        continue
      shift = area * len(THRESHOLDS) + np.arange(len(THRESHOLDS))[:, None]
      hit, ignored = (mine[:, 4 + i] >> shift & 1 == 1 for i in (0, 1))
      for m, limit in enumerate(LIMITS):
        kept = mine[:, 2] < limit
        right = np.cumsum((hit & ~ignored)[:, kept], 1)
        wrong = np.cumsum((~hit & ~ignored)[:, kept], 1)
        for t in range(len(THRESHOLDS)):
          values, top = _curve(right[t], wrong[t], total)
          precision[t, :, category, area, m] = values
          recall[t, category, area, m] = top
  return precision, recall


def _curve(right, wrong, total):
  """Returns the precision at `RECALLS`, and the highest recall.

  Args:
    right: [n], detections that hit, up to each.
    wrong: [n], detections that do not.
    total: true objects.
  """
  if not len(right):
    return np.zeros(len(RECALLS)), 0.0
  reached = right / total
  values = right / (right + wrong + np.spacing(1))
  values = np.maximum.accumulate(values[::-1])[::-1]
  place = np.searchsorted(reached, RECALLS, side='left')
  return np.append(values, 0.0)[place], reached[-1]


def summarize(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
  """Returns the twelve numbers that COCO reports; NaN for what has no truth.

  Args:
    precision: from `accumulate`.
    recall: from `accumulate`.
  """
  areas = dict(zip(AREAS, range(len(AREAS)), strict=True))
  scores = {
      'AP': _mean(precision[..., 0, -1]),
      'AP50': _mean(precision[0, ..., 0, -1]),
      'AP75': _mean(precision[5, ..., 0, -1]),
  }
  for name in ('small', 'medium', 'large'):
    scores[f'AP_{name}'] = _mean(precision[..., areas[name], -1])
  for m, limit in enumerate(LIMITS):
    scores[f'AR{limit}'] = _mean(recall[..., 0, m])
  for name in ('small', 'medium', 'large'):
    scores[f'AR_{name}'] = _mean(recall[..., areas[name], -1])
  return scores


def per_class(precision: np.ndarray) -> np.ndarray:
  """Returns the AP of each class, [K]; NaN for one without truth."""
  return np.array(
      [_mean(precision[:, :, k, 0, -1]) for k in range(precision.shape[2])]
  )


def _mean(values):
  """Returns the mean of the values that are not -1, or NaN."""
  values = values[values > -1]
  return float(values.mean()) if values.size else float('nan')
