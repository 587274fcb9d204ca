"""Scores of label maps: accuracy, intersection over union, Dice.

Counts are summed over the whole split before anything is divided, so a score
does not depend on how the images were split into batches or over hosts. They
are int64: float32 loses pixels beyond 2^24 per class.

Checked against mmsegmentation 1.2.2 `IoUMetric`.
"""

import numpy as np

# How a mean over classes treats classes without a score, in words for reports.
ABSENT = {
    'skip': 'classes in neither truth nor prediction are left out',
    'zero': 'classes in neither truth nor prediction count as 0',
    'truth': 'classes that are not in the truth are left out',
}


def confusion(
    prediction: np.ndarray,
    label: np.ndarray,
    num_classes: int,
    ignore: int = 255,
) -> np.ndarray:
  """Counts how often each true class was predicted as each class.

  Args:
    prediction: [H, W] or any shape, integers in [0, num_classes).
    label: as `prediction`, integers in [0, num_classes) or `ignore`.
    num_classes: number of classes K.
    ignore: label of pixels that do not count.

  Returns:
    [K, K] int64; rows are the truth, columns the prediction.
  """
  if prediction.shape != label.shape:
    raise ValueError(
        f'prediction {prediction.shape} and label {label.shape} differ in'
        ' shape: predict at the size of the label.'
    )
  valid = label != ignore
  prediction, label = prediction[valid], label[valid]
  for name, ids in (('prediction', prediction), ('label', label)):
    if ids.size and not 0 <= ids.min() <= ids.max() < num_classes:
      raise ValueError(
          f'{name} has ids from {ids.min()} to {ids.max()}; expected 0 to'
          f' {num_classes - 1}, and {ignore} for ignored pixels of a label.'
      )
  cell = label.astype(np.int64) * num_classes + prediction
  counts = np.bincount(cell, minlength=num_classes**2)
  return counts.reshape(num_classes, num_classes)


def iou(
    hit: np.ndarray, truth: np.ndarray, predicted: np.ndarray
) -> np.ndarray:
  """Computes intersection over union [K]; NaN where the union is empty.

  Args:
    hit: [K], pixels of each class that were predicted right.
    truth: [K], pixels of each class in the truth.
    predicted: [K], pixels of each class in the prediction.
  """
  return divide(hit, truth + predicted - hit)


def mean(
    values: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    absent: str = 'skip',
) -> float:
  """Averages a score over classes.

  Args:
    values: [K], the score of each class, NaN where it has none, such as the
      accuracy of a class that is not in the truth.
    truth: [K], pixels of each class in the truth.
    predicted: [K], pixels of each class in the prediction.
    absent: how classes without a score count, a key of `ABSENT`.

  Returns:
    The mean, NaN if there is no pixel.
  """
  check_absent(absent)
  if absent == 'zero' and (truth + predicted).any():
    return np.nan_to_num(values).mean()
  counted = ~np.isnan(values)
  if absent == 'truth':
    counted &= truth > 0
  return values[counted].mean() if counted.any() else np.float64(np.nan)


def scores(matrix: np.ndarray, absent: str = 'skip') -> dict[str, np.ndarray]:
  """Computes all scores that follow from a confusion matrix.

  Args:
    matrix: [K, K] counts; rows are the truth, columns the prediction.
    absent: how classes that do not occur count in means, a key of `ABSENT`.

  Returns:
    A dictionary of float64 scalars: `mIoU`, `mean_accuracy`, `accuracy`,
    `fwIoU` (IoU weighted by the frequency of the class in the truth) and
    `dice`; and of arrays [K]: `class_IoU`, `class_accuracy` (recall),
    `class_precision` and `class_dice` (F1), NaN where a class has no score.
    Without any pixel all scores are NaN.
  """
  hit, truth, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
  class_iou = iou(hit, truth, predicted)
  class_accuracy = divide(hit, truth)
  class_dice = divide(2 * hit, truth + predicted)
  return {
      'mIoU': mean(class_iou, truth, predicted, absent),
      'mean_accuracy': mean(class_accuracy, truth, predicted, absent),
      'accuracy': divide(hit.sum(), truth.sum()),
      'fwIoU': divide((truth * np.nan_to_num(class_iou)).sum(), truth.sum()),
      'dice': mean(class_dice, truth, predicted, absent),
      'class_IoU': class_iou,
      'class_accuracy': class_accuracy,
      'class_precision': divide(hit, predicted),
      'class_dice': class_dice,
  }


def check_absent(absent: str) -> None:
  """Raises ValueError unless it is a key of `ABSENT`."""
  if absent not in ABSENT:
    raise ValueError(f'config.absent={absent!r} is not one of {tuple(ABSENT)}.')


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
  """Divides counts in float64; NaN where the denominator is 0."""
  return np.where(
      denominator > 0, numerator / np.maximum(denominator, 1), np.nan
  )[()]
