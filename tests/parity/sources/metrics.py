"""Scores of mmsegmentation 1.2.2, Boundary IoU, GSCNN and scikit-image."""

import numpy as np

from segjax.evaluation import boundary
from segjax.evaluation import partitions
from segjax.evaluation import semantic
from tests.parity.case import FunctionCase

CLASSES = 7
TOLERANCES = ('0.00088', '0.001875', '0.00375', '0.005', '0.02', '0.05')


def confusion(given):
  return sum(map(counts, given['pred'], given['gt']))


def counts(prediction, label):
  return semantic.confusion(prediction, label, CLASSES)


def score(name, absent='skip'):
  """Returns the function from inputs to a score of the confusion matrix."""
  return lambda given: semantic.scores(confusion(given), absent)[name]


def each_image(measure, **options):
  """Returns the function from inputs to a score by image and class."""

  def function(given):
    pairs = zip(given['pred'], given['gt'], strict=True)
    return np.stack([measure(*pair, CLASSES, **options) for pair in pairs])

  return function


def boundary_iou(*arguments, **options):
  return semantic.iou(*boundary.band_counts(*arguments, **options))


def rand(given):
  """Error, precision and recall of pairs of two pixels of the same object."""
  inside = given['rand_gt'] > 0
  table = partitions.joint(given['rand_gt'][inside], given['rand_pred'][inside])
  # In scikit-image a pixel is no pair with itself.
  pairs, true, predicted = (
      np.square(x).sum() - 1 / inside.sum()
      for x in (table, table.sum(1), table.sum(0))
  )
  return 1 - 2 * pairs / (true + predicted), pairs / true, pairs / predicted


def information(given):
  """Bits that one of two partitions tells beyond the other, both ways."""
  table = partitions.joint(given['rand_gt'].ravel(), given['rand_pred'].ravel())
  parts = table[table > 0]
  row, column = np.nonzero(table)
  return [
      -(parts * np.log2(parts / sums)).sum()
      for sums in (table.sum(1)[row], table.sum(0)[column])
  ]


CASES = {
    'metrics_semantic': FunctionCase(
        {
            'confusion': confusion,
            'iou_per_class_nan': score('class_IoU'),
            'accuracy_per_class_nan': score('class_accuracy'),
            'dice_per_class_nan': score('class_dice'),
            'precision_per_class_nan': score('class_precision'),
            'pixel_accuracy': score('accuracy'),
            'mean_accuracy': score('mean_accuracy'),
            'mean_iou': score('mIoU'),
            'mean_dice': score('dice'),
            'frequency_weighted_iou': score('fwIoU'),
            'mean_iou_gt_classes_only': score('mIoU', 'truth'),
            'mean_iou_absent_as_zero': score('mIoU', 'zero'),
            'boundary_iou_02_nan': each_image(boundary_iou, ratio=0.02),
            'boundary_iou_05_nan': each_image(boundary_iou, ratio=0.05),
            **{
                f'boundary_f_{tolerance}': each_image(
                    boundary.boundary_f, tolerance=float(tolerance)
                )
                for tolerance in TOLERANCES
            },
            'rand_error_precision_recall': rand,
            'variation_of_information': information,
        },
        within=1e-12,
        # The F score is Dice, but not a number for a class that is not in the
        # truth; the rest are steps on the way to scores.
        uncompared=(
            'fscore_per_class_nan',
            'boundary_mask_class1',
            'seg2bmap_class1',
            *(f'boundary_p_{tolerance}' for tolerance in TOLERANCES),
        ),
    ),
}
