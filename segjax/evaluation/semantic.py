"""Scores of label maps: accuracy, intersection over union, Dice.

Counts are summed over the whole split before anything is divided, so a score
does not depend on how the images were split into batches or over hosts. They
are int64: float32 loses pixels beyond 2^24 per class.

Checked against mmsegmentation 1.2.2 `IoUMetric`.
"""

import numpy as np

# What a mean over classes does with a class that has no score.
ABSENT = {
    'skip': 'classes in neither truth nor prediction are left out',
    'zero': 'classes in neither truth nor prediction count as 0',
    'truth': 'classes that are not in the truth are left out',
}


def confusion(prediction, label, num_classes, ignore=255):
  """Counts how often each true class was predicted as each class.

  Args:
    prediction: [H, W] or any shape, integers in [0, num_classes).
    label: as `prediction`, integers in [0, num_classes) or `ignore`.
    num_classes: number of classes K.
    ignore: label of pixels that count neither as right nor as wrong.

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


def iou(hit, truth, predicted):
  """Intersection over union from counts [K]; NaN where the union is empty."""
  return _divide(hit, truth + predicted - hit)


def mean(values, truth, predicted, absent='skip'):
  """Mean of a score [K] over classes, by a convention of `ABSENT`.

  A class without a score, as the accuracy of one that is not in the truth, is
  left out or counts as 0 in the same way. Without any pixel the mean is NaN.
  """
  if absent not in ABSENT:
    raise ValueError(f'absent={absent!r} is not one of {list(ABSENT)}.')
  if absent == 'zero' and (truth + predicted).any():
    return np.nan_to_num(values).mean()
  kept = ~np.isnan(values)
  if absent == 'truth':
    kept &= truth > 0
  return values[kept].mean() if kept.any() else np.float64(np.nan)


def scores(matrix, absent='skip'):
  """Returns every score that follows from a confusion matrix.

  Args:
    matrix: [K, K] counts; rows are the truth, columns the prediction.
    absent: the convention for classes that do not occur, a key of `ABSENT`.

  Returns:
    A dictionary of float64: `mIoU`, `mean_accuracy`, `accuracy`, `fwIoU` (IoU
    weighted by the frequency of the class in the truth) and `dice`; and arrays
    [K] `class_IoU`, `class_accuracy` (or recall), `class_precision` and
    `class_dice` (or F1), NaN where a class has no score. Without any pixel
    everything is NaN.
  """
  hit, truth, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
  class_iou = iou(hit, truth, predicted)
  class_accuracy = _divide(hit, truth)
  class_dice = _divide(2 * hit, truth + predicted)
  return {
      'mIoU': mean(class_iou, truth, predicted, absent),
      'mean_accuracy': mean(class_accuracy, truth, predicted, absent),
      'accuracy': _divide(hit.sum(), truth.sum()),
      'fwIoU': _divide((truth * np.nan_to_num(class_iou)).sum(), truth.sum()),
      'dice': mean(class_dice, truth, predicted, absent),
      'class_IoU': class_iou,
      'class_accuracy': class_accuracy,
      'class_precision': _divide(hit, predicted),
      'class_dice': class_dice,
  }


def _divide(numerator, denominator):
  """Quotient in float64, NaN where the denominator is 0."""
  return np.where(
      denominator > 0, numerator / np.maximum(denominator, 1), np.nan
  )[()]
