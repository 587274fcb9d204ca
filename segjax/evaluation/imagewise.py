"""Scores from counts of each image and class, averaged in several ways.

The scores of `semantic` are those of the counts of a whole split. Here the
counts of each image are kept, so that a score may also be computed for each
image first. Such means are other numbers, and papers on scans often report
them. Checked against segmentation_models_pytorch 0.6.0.
"""

from collections.abc import Callable
from collections.abc import Sequence
import types

import numpy as np

from segjax.evaluation import semantic


def class_counts(
    prediction: np.ndarray,
    label: np.ndarray,
    num_classes: int,
    ignore: int = 255,
) -> np.ndarray:
  """Counts the pixels of an image by class; see `semantic.confusion`.

  Returns:
    [K, 4] int64: true positives, false positives, false negatives and true
    negatives of each class against all others.
  """
  matrix = semantic.confusion(prediction, label, num_classes, ignore)
  hit = np.diag(matrix)
  false_positives, false_negatives = matrix.sum(0) - hit, matrix.sum(1) - hit
  rest = matrix.sum() - hit - false_positives - false_negatives
  return np.stack([hit, false_positives, false_negatives, rest], -1)


def label_counts(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Counts the pixels of an image by label, of which a pixel may have several.

  Args:
    prediction: [H, W, K] booleans.
    truth: [H, W, K] booleans.

  Returns:
    [K, 4] int64, as `class_counts`.
  """
  pairs = ((True, True), (True, False), (False, True), (False, False))
  return np.stack(
      [
          ((prediction == first) & (truth == second)).sum((0, 1))
          for first, second in pairs
      ],
      -1,
  )


def _balanced_accuracy(tp, fp, fn, tn):
  return (tp / (tp + fn) + tn / (tn + fp)) / 2


# {name: function of the four counts}.
SCORES: types.MappingProxyType[str, Callable[..., np.ndarray]] = (
    types.MappingProxyType(
        {
            'iou': lambda tp, fp, fn, tn: tp / (tp + fp + fn),
            'f1': lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn),
            'recall': lambda tp, fp, fn, tn: tp / (tp + fn),
            'precision': lambda tp, fp, fn, tn: tp / (tp + fp),
            'accuracy': lambda tp, fp, fn, tn: (tp + tn) / (tp + fp + fn + tn),
            'balanced_accuracy': _balanced_accuracy,
        }
    )
)
MEANS = ('none', 'micro', 'macro', 'weighted')


def score(
    counts: np.ndarray,
    name: str,
    mean: str = 'macro',
    *,
    imagewise: bool = False,
    class_weights: Sequence[float] | None = None,
    empty: float = 1.0,
) -> np.ndarray:
  """Computes a score of images by classes.

  Args:
    counts: [N, K, 4] of N images, see `class_counts`.
    name: of the score, a key of `SCORES`.
    mean: 'none' returns the scores of all images and classes; 'micro' sums
      the counts of classes before it divides; 'macro' averages the scores of
      classes, and 'weighted' weighs them. With `imagewise` the weighted mean is
      divided by the number of classes once more, as in
      segmentation_models_pytorch.
    imagewise: whether to average the scores of images, else of the sums of
      their counts.
    class_weights: [K] or None for equal weights, of 'weighted'; their sum does
      not matter.
    empty: the score where the denominator is 0, such as of a class that is in
      neither truth nor prediction. 'micro' of all images is NaN there.

  Returns:
    A float64 scalar, or [N, K].
  """
  if name not in SCORES:
    raise ValueError(f'There is no score {name!r}. Known: {", ".join(SCORES)}.')
  if mean not in MEANS:
    raise ValueError(f'There is no mean {mean!r}. Known: {", ".join(MEANS)}.')
  counts = np.asarray(counts, np.float64)

  def values(counts, replaced=True):
    with np.errstate(invalid='ignore', divide='ignore'):
      scores = SCORES[name](*np.moveaxis(counts, -1, 0))
    return np.where(np.isnan(scores), empty, scores) if replaced else scores

  if mean == 'none':
    return values(counts)
  if mean == 'micro':
    if imagewise:
      return values(counts.sum(1)).mean()
    return values(counts.sum((0, 1)), replaced=False)
  by_class = values(counts).mean(0) if imagewise else values(counts.sum(0))
  if mean == 'macro':
    return by_class.mean()
  weights = np.ones(len(by_class)) if class_weights is None else class_weights
  weighted = by_class * np.divide(weights, np.sum(weights))
  return weighted.mean() if imagewise else weighted.sum()
