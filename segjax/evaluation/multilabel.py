"""Scores of classes that overlap, each of which is a binary problem.

Counts are summed over the whole split, and are int64, as in
`segjax.evaluation.semantic`.
"""

from collections.abc import Sequence

import numpy as np

from segjax.evaluation import semantic


def counts(
    prediction: np.ndarray, label: np.ndarray, ignore: int = 255
) -> np.ndarray:
  """Counts pixels of each class that were found, true and predicted.

  Args:
    prediction: [H, W, K], 0 or 1.
    label: [H, W, K], 0, 1 or `ignore`.
    ignore: label of pixels that do not count for a class.

  Returns:
    [3, K] int64: pixels in both, in the truth, and in the prediction.
  """
  if prediction.shape != label.shape:
    raise ValueError(
        f'prediction {prediction.shape} and label {label.shape} differ in'
        ' shape: predict at the size of the label.'
    )
  known = label != ignore
  if (label[known] > 1).any():
    raise ValueError(
        f'a label of overlapping classes holds 0, 1 and {ignore}, this has'
        f' {np.unique(label).tolist()[:10]}'
    )
  truth, found = known & (label == 1), known & (prediction == 1)
  return np.stack(
      [x.sum((0, 1), dtype=np.int64) for x in (truth & found, truth, found)]
  )


def scores(
    counts: np.ndarray, names: Sequence[str], absent: str = 'skip'
) -> dict[str, float]:
  """Returns the scores by name.

  Args:
    counts: [3, K], sums of what `counts` returned.
    names: of the K classes.
    absent: how means treat classes that do not occur, a key of
      `evaluation.semantic.ABSENT`.
  """
  hit, truth, predicted = counts
  per_class = {
      'IoU': semantic.iou(hit, truth, predicted),
      'dice': semantic.divide(2 * hit, truth + predicted),
      'precision': semantic.divide(hit, predicted),
      'recall': semantic.divide(hit, truth),
  }
  result = {'micro_IoU': semantic.iou(*counts.sum(1))}
  for score, name in (('IoU', 'mIoU'), ('dice', 'dice')):
    result[name] = semantic.mean(per_class[score], truth, predicted, absent)
  for score in ('IoU', 'precision', 'recall'):
    for name, value in zip(names, per_class[score], strict=True):
      result[f'{score}/{name}'] = value
  return {name: float(value) for name, value in result.items()}


def as_bits(labels: np.ndarray) -> np.ndarray:
  """Returns [H, W] uint8, or uint16 for 9 to 16 classes, with a bit a class.

  Args:
    labels: [H, W, K], 0 or 1.
  """
  bits = np.uint8 if labels.shape[-1] <= 8 else np.uint16
  return (labels.astype(bits) << np.arange(labels.shape[-1], dtype=bits)).sum(
      -1, dtype=bits
  )
