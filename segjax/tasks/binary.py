"""Binary segmentation: objects or not, by one channel and a sigmoid.

As `semantic`, for a data set of two classes, but that logits have one channel,
[B, H, W, 1]: that of class 1. All losses take it. A pixel is of class 1 where
its probability is above `config.predict.threshold`.
"""

from segjax.data.label_map import LabelMap
from segjax.tasks import semantic

TRUTH = semantic.TRUTH
BEST = semantic.BEST
PER_PIXEL = semantic.PER_PIXEL
loss = semantic.loss
predict = semantic.predict
scores = semantic.scores


def channels(label_map: LabelMap) -> int:
  """Returns the channels of the logits, one.

  Raises:
    ValueError: the data set does not have two classes, or they overlap.
  """
  semantic.check_exclusive(label_map)
  if label_map.num_classes != 2:
    raise ValueError(
        f'The data set has {label_map.num_classes} classes; the task binary'
        " is for two. Set config.task to 'semantic'."
    )
  return 1
