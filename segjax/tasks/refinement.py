"""Refinement of masks: an object or not, given a coarse mask of it.

Outputs of a system: `logits` [B, H, W, 1] of the mask, and `aux`. A batch has
the `image` [B, H, W, C], the `coarse_mask` [B, H, W] from 0 to 1, and as
`label` [B, H, W] the true mask, 1 on the object, 0 elsewhere and 255 for
ignored pixels. `perturbed_masks` in the string of preprocessing makes both of
any label map, and `fixed_masks` those that are evaluated.

Scores tell how good the refined masks are, and, as coarse_NAME, how good those
were that they were made of.
"""

import numpy as np

from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap
from segjax.tasks import semantic

TRUTH = ('label',)
BEST = semantic.BEST
PER_PIXEL = True
loss = semantic.loss
predict = semantic.predict

LABELS = LabelMap(
    names=('outside', 'inside'),
    colors=((40, 40, 40), (230, 120, 40)),
    ids={0: 0, 1: 1, IGNORE: IGNORE},
)
COMPARED = ('mIoU', 'IoU/inside', 'boundary_IoU', 'mBA')  # Before and after.


def channels(label_map: LabelMap) -> int:
  """Returns the channels of the logits, one for any classes.

  Raises:
    ValueError: classes overlap.
  """
  semantic.check_exclusive(label_map)
  return 1


class Scores(semantic.Scores):
  """Scores of masks before and after; see `semantic.Scores`."""

  def __init__(self, label_map: LabelMap, absent: str):
    super().__init__(label_map, absent)
    self._coarse = semantic.Scores(label_map, absent)

  def add(self, example: dict, prediction: dict) -> None:
    """Counts the pixels of a mask and of the coarse one."""
    super().add(example, prediction)
    coarse = np.uint8(example['coarse_mask'] > 0.5)
    self._coarse.add(example, {'labels': coarse})

  def gather(self) -> None:
    """Sums over processes, each of which saw a part of the split."""
    super().gather()
    self._coarse.gather()

  def compute(self) -> dict[str, float]:
    """Returns all scores by name."""
    before = self._coarse.compute()
    added = {f'coarse_{name}': before[name] for name in COMPARED}
    return super().compute() | added

  def describe(self, scores: dict[str, float]) -> str:
    """Returns the lines in which scores are told."""
    before = ', '.join(
        f'{name} {scores[f"coarse_{name}"]:.4f}' for name in COMPARED
    )
    return f'{super().describe(scores)}\nThe coarse masks had {before}.'


def scores(label_map: LabelMap, *, absent: str = 'skip') -> Scores:
  """Returns empty scores.

  Args:
    label_map: not used: masks have two classes.
    absent: see `semantic.scores`.

  Raises:
    ValueError: there is no such convention.
  """
  del label_map
  semantic.scores(LABELS, absent=absent)  # Raises if it is unknown.
  return Scores(LABELS, absent)
