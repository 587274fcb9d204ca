"""Which pixels are near the outline of a class, and which way leads inside.

This is what the network of SegFix, https://arxiv.org/abs/2007.04269, predicts
of an image, whatever the classes are. Outputs of a system: `logits`
[B, H, W, 10], two channels that tell pixels inside from those near an outline
and one for each of the eight directions of `segjax.ops.directions`; and
`boundary` [B, H, W], the probability that a pixel is near an outline.

The truth is the `label` [B, H, W], and what `directions` in the string of
preprocessing makes of it: `distance` [B, H, W] and `angle` [B, H, W].

A prediction has `labels` [H, W]: 0 for pixels inside, and 1 and the direction
for pixels near an outline. They are scored as label maps are.
"""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np

from segjax.data import directions
from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap
from segjax.data.raw_ids import RawIds
from segjax.ops import directions as ops
from segjax.tasks import semantic

TRUTH = ('label', 'distance', 'angle')
BEST = semantic.BEST
PER_PIXEL = False

MAX_DISTANCE = 5  # Of pixels near an outline.
# What is scored and drawn: the colours go round with the directions.
LABELS = LabelMap(
    names=('inside', *ops.NAMES),
    colors=(
        (40, 40, 40),
        *(
            tuple(
                round(255 * part)
                for part in colorsys.hsv_to_rgb(k / ops.COUNT, 0.7, 0.9)
            )
            for k in range(ops.COUNT)
        ),
    ),
    ids={i: i for i in range(1 + ops.COUNT)} | {IGNORE: IGNORE},
)


def channels(label_map: LabelMap) -> int:
  """Returns the channels of the logits, as many for any classes.

  Raises:
    ValueError: classes overlap.
  """
  semantic.check_exclusive(label_map)
  return 2 + ops.COUNT


def loss(
    out,
    batch,
    rng,
    *,
    pixel,
    aux: float | dict[str, float] = 0.0,
    max_distance: int = MAX_DISTANCE,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the sum of the losses of outlines and of directions.

  Directions count where the system itself sees an outline.

  Args:
    out: outputs of a system.
    batch: what they are outputs for.
    rng: not used.
    pixel: from `losses.build`.
    aux: not used, there are no auxiliary heads.
    max_distance: of pixels near an outline.
  """
  del rng, aux
  known = batch['label'] != IGNORE
  outline, direction = jnp.split(out['logits'], [2], -1)
  seen = outline[..., 1] > outline[..., 0]
  boundary, _ = pixel(
      outline, ops.boundary_labels(batch['distance'], known, max_distance)
  )
  inwards, _ = pixel(
      direction, ops.direction_labels(batch['angle'], known & seen)
  )
  return boundary + inwards, {'boundary': boundary, 'direction': inwards}


def predict(
    out, label_map: LabelMap, *, threshold: float = 0.5
) -> dict[str, jax.Array]:
  """Returns the `labels` [B, H, W] uint8; see the module.

  Args:
    out: outputs of a system.
    label_map: not used.
    threshold: a pixel is near an outline if the probability is above this.
  """
  del label_map
  direction = out['logits'][..., 2:].argmax(-1)
  labels = jnp.where(out['boundary'] > threshold, 1 + direction, 0)
  return {'labels': labels.astype(jnp.uint8)}


def truth(label: np.ndarray) -> np.ndarray:
  """Returns what is to be predicted for a label map, 255 where it is unknown.

  Args:
    label: [H, W], class ids or 255.

  Returns:
    [H, W] uint8.
  """
  distance, angle = directions.distance_and_angle(label)
  known = label != IGNORE
  direction = np.asarray(ops.direction_labels(angle, known))
  labels = np.where(distance <= MAX_DISTANCE, 1 + direction, 0)
  return np.where(known, labels, IGNORE).astype(np.uint8)


class Scores(semantic.Scores):
  """Scores of the nine labels; see `semantic.Scores`."""

  def add(self, example: dict, prediction: dict) -> None:
    """Counts the pixels of an image, whose label map makes the truth."""
    super().add(_with_truth(example), prediction)

  def use_raw_ids(self, raw_ids: RawIds) -> None:
    """Raises ValueError: directions are no classes of the data set."""
    raise ValueError(
        'The task boundaries predicts directions, which have no raw ids: leave'
        ' --raw_ids out.'
    )

  def draw(self, example: dict, prediction: dict) -> np.ndarray:
    """Returns image, truth and prediction side by side, [H, W, 3] uint8."""
    return super().draw(_with_truth(example), prediction)


def _with_truth(example):
  return {**example, 'label': truth(example['label'])}


def scores(label_map: LabelMap, *, absent: str = 'skip') -> Scores:
  """Returns empty scores.

  Args:
    label_map: not used: the labels that are scored are those of directions.
    absent: see `semantic.scores`.

  Raises:
    ValueError: there is no such convention.
  """
  del label_map
  semantic.scores(LABELS, absent=absent)  # Raises if it is unknown.
  return Scores(LABELS, absent)
