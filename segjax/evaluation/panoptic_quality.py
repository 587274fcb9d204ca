"""Panoptic quality of segments: PQ, SQ and RQ, https://arxiv.org/abs/1801.00868.

An image is a map of ids, [H, W]: 0 is void, and i of 1..N is the segment that
row i - 1 of a table [N] has the class of. Counts are summed over the whole
split before anything is divided. Checked against panopticapi, and for
boundaries against boundary-iou-api.
"""

import cv2
import numpy as np

NO_SEGMENT = 255  # The class of rows that no pixel belongs to.


def counts(
    truth: np.ndarray,
    truth_classes: np.ndarray,
    truth_crowds: np.ndarray,
    predicted: np.ndarray,
    predicted_classes: np.ndarray,
    num_classes: int,
    *,
    boundary: bool = False,
) -> np.ndarray:
  """Counts what of an image was found, by class.

  Two segments of a class match if the intersection over union of their pixels
  is above one half; predicted pixels on void are left out of the union. A crowd
  is neither found nor missed. What matches nothing is wrong, unless more than
  half of it lies on void and on the last crowd of its class in the table.

  Args:
    truth: [H, W], ids of the true segments, 0 where there is none.
    truth_classes: [N], their classes. Segments without a pixel do not count.
    truth_crowds: [N], 1 for groups of objects that nobody told apart, else 0.
    predicted: [H, W], ids of the predicted segments.
    predicted_classes: [M], their classes.
    num_classes: K.
    boundary: takes the intersection over union of the bands along the outlines
      (https://arxiv.org/abs/2103.16562) where it is lower.

  Returns:
    [K, 4] float64: sum of the intersections over union, true positives, false
    positives and false negatives.

  Raises:
    ValueError: the maps differ in size, or one has ids that its table lacks.
  """
  if truth.shape != predicted.shape:
    raise ValueError(
        f'Segments {predicted.shape} and their truth {truth.shape} differ in'
        ' size: bring them to the size of the truth.'
    )
  for name, ids, classes in (
      ('truth', truth, truth_classes),
      ('prediction', predicted, predicted_classes),
  ):
    _check(name, ids, classes, num_classes)
  shared = overlaps(
      truth, predicted, len(truth_classes), len(predicted_classes)
  )
  areas, predicted_areas = shared.sum(1)[1:], shared.sum(0)[1:]
  crowds = np.asarray(truth_crowds, bool)
  same = (truth_classes[:, None] == predicted_classes) & ~crowds[:, None]
  quality = _iou(shared[1:, 1:], areas, predicted_areas, shared[0, 1:]) * same
  if boundary:
    bands = _boundary_iou(truth, predicted, *same.shape)
    quality = np.minimum(quality, bands)
  match = quality > 0.5  # Of a segment at most one: they do not overlap.

  ignored = shared[0, 1:].astype(np.float64)
  last = {truth_classes[i]: i for i in np.flatnonzero(crowds & (areas > 0))}
  for j, kind in enumerate(predicted_classes):
    if kind in last:
      ignored[j] += shared[1 + last[kind], 1 + j]
  wrong = (predicted_areas > 0) & ~match.any(0)
  wrong &= ignored <= 0.5 * predicted_areas
  missed = (areas > 0) & ~crowds & ~match.any(1)

  total = np.zeros((num_classes, 4))
  row, column = np.nonzero(match)
  np.add.at(total[:, 0], truth_classes[row], quality[row, column])
  np.add.at(total[:, 1], truth_classes[row], 1)
  np.add.at(total[:, 2], predicted_classes[wrong], 1)
  np.add.at(total[:, 3], truth_classes[missed], 1)
  return total


def scores(total: np.ndarray, things: tuple[int, ...]) -> dict:
  """Returns the scores that follow from counts.

  Args:
    total: [K, 4], sums of `counts` over images.
    things: ids of the classes that are counted objects; the others are stuff.

  Returns:
    `PQ`, `SQ` and `RQ`, means over the classes that occur in truth or
    prediction; of things and of stuff alone, `PQ_things` and so on; NaN where
    there is no class. And arrays [K] `class_PQ`, `class_SQ` and `class_RQ`, NaN
    for a class that does not occur.
  """
  iou, hits, wrong, missed = total.T
  size = hits + wrong / 2 + missed / 2
  occurs = size > 0
  size = np.where(occurs, size, np.nan)
  classes = {
      'PQ': iou / size,
      'SQ': np.where(occurs, iou / np.maximum(hits, 1), np.nan),
      'RQ': hits / size,
  }
  is_thing = np.isin(np.arange(len(total)), things)
  result = {}
  for name, chosen in (
      ('', occurs),
      ('_things', occurs & is_thing),
      ('_stuff', occurs & ~is_thing),
  ):
    for score, values in classes.items():
      mean = values[chosen].mean() if chosen.any() else np.nan
      result[f'{score}{name}'] = mean
  return result | {f'class_{k}': v for k, v in classes.items()}


def overlaps(
    truth: np.ndarray, predicted: np.ndarray, rows: int, columns: int
) -> np.ndarray:
  """Counts the pixels of each pair of ids, [1 + rows, 1 + columns] int64."""
  cell = truth.astype(np.int64) * (1 + columns) + predicted
  size = (1 + rows) * (1 + columns)
  return np.bincount(cell.ravel(), minlength=size).reshape(1 + rows, -1)


def _iou(shared, areas, predicted_areas, void):
  """Returns the intersection over union of pairs, [N, M].

  Args:
    shared: [N, M], pixels of pairs.
    areas: [N], of true segments.
    predicted_areas: [M], of predicted segments.
    void: [M], pixels of predicted segments on void, which do not count.
  """
  union = areas[:, None] + predicted_areas - void - shared
  return shared / np.maximum(union, 1)


def _boundary_iou(truth, predicted, rows, columns):
  """Returns the intersection over union of the bands of pairs, [N, M]."""
  bands = _band(truth), _band(predicted)
  shared = overlaps(*bands, rows, columns)
  void = overlaps(truth, bands[1], rows, columns)[0, 1:]
  return _iou(shared[1:, 1:], shared.sum(1)[1:], shared.sum(0)[1:], void)


def _band(ids):
  """Sets ids to 0 that are farther from the outline than 2 % of the diagonal.

  The border of the image is an outline, too.
  """
  width = max(1, int(round(0.02 * np.hypot(*ids.shape))))
  ids = ids.astype(np.float32)  # Exact below 2^24.
  kernel = np.ones((2 * width + 1,) * 2, np.uint8)
  padded = np.pad(ids, width, constant_values=-1)
  middle = (slice(width, -width),) * 2
  lowest = cv2.erode(padded, kernel)[middle]
  highest = cv2.dilate(padded, kernel)[middle]
  return np.where(lowest == highest, 0, ids).astype(np.int64)


def _check(name, ids, classes, num_classes):
  """Raises if a map holds an id that has no class."""
  known = np.unique(ids)
  known = known[known != 0]
  if known.size and not 0 < known[0] <= known[-1] <= len(classes):
    raise ValueError(
        f'The {name} has segments {known[0]} to {known[-1]}; its table has'
        f' {len(classes)} rows, for 1 to {len(classes)}, and 0 is void.'
    )
  wrong = [i for i in known if not 0 <= classes[i - 1] < num_classes]
  if wrong:
    raise ValueError(
        f'Segment {wrong[0]} of the {name} has the class'
        f' {classes[wrong[0] - 1]}; expected 0 to {num_classes - 1}.'
    )
