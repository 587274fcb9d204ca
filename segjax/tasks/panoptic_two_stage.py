"""Panoptic segmentation by detections, and stuff where there is none.

Outputs of a system: `logits` [B, H, W, K] and `aux`, as of the task 'semantic',
and those of the task 'instances', whose fields of a batch it reads as well.
Segments, scores and files are those of the task 'panoptic'. Class 0 of the data
set stands for no object in the detector, so it must not be a thing; it may be
stuff.
"""

import jax
import jax.numpy as jnp
import numpy as np

from segjax.data.label_map import LabelMap
from segjax.ops import boxes as box_ops
from segjax.ops import panoptic as ops
from segjax.tasks import instances
from segjax.tasks import panoptic
from segjax.tasks import semantic

TRUTH = ('label', 'weight', *instances.TRUTH)
BEST = panoptic.BEST
PER_PIXEL = False
channels = semantic.channels


def loss(
    out,
    batch,
    rng,
    *,
    pixel,
    aux: float | dict[str, float] = 0.0,
    aux_pixel=None,
    semantic_weight: float = 0.5,
    instance_weight: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the weighted sum of the losses of pixels and of objects.

  Args:
    out: outputs of a system.
    batch: what they are outputs for.
    rng: given to both tasks.
    pixel: from `losses.build`.
    aux: factor of the loss of each auxiliary head, or {name: factor}.
    aux_pixel: loss of auxiliary heads; None: `pixel`.
    semantic_weight: factor of the loss of the task 'semantic'.
    instance_weight: factor of the loss of the task 'instances'.
  """
  pixels, parts = semantic.loss(
      out, batch, rng, pixel=pixel, aux=aux, aux_pixel=aux_pixel
  )
  objects, more = instances.loss(out, batch, rng, pixel=pixel)
  total = semantic_weight * pixels + instance_weight * objects
  return total, {**parts, **more}


def predict(
    out,
    label_map: LabelMap,
    *,
    overlap: float = 0.5,
    stuff_area: int = 4096,
    score: float = 0.5,
) -> dict[str, jax.Array]:
  """Lays objects over each other, and stuff around them.

  Args:
    out: outputs of a system.
    label_map: says which classes are things.
    overlap: share of an object that better ones may cover.
    stuff_area: pixels that stuff of a class needs, or else it becomes void.
    score: that an object needs.

  Returns:
    What `panoptic.predict` returns; the first D segments are the detections.
  """
  logits = out['logits'].astype(jnp.float32)
  is_stuff = ~np.isin(np.arange(logits.shape[-1]), label_map.things)
  found = instances.predict(out, label_map)

  def of_image(logits, boxes, classes, scores, masks):
    labels = logits.argmax(-1).astype(jnp.int32)

    def mask_of(i):
      return box_ops.paste_smooth(masks[i], boxes[i], labels.shape) >= 0.5

    segments, there = ops.merge_detections(
        mask_of,
        scores,
        labels,
        jnp.asarray(is_stuff),
        min_score=max(score, 1e-6),  # One that is not there has a score of 0.
        max_overlap=overlap,
        stuff_area=stuff_area,
    )
    kinds = jnp.arange(logits.shape[-1])
    table = jnp.concatenate([classes.astype(jnp.int32), kinds])
    table = jnp.where(there, table, ops.NO_CLASS)
    of_pixels = panoptic.class_scores(logits, segments, table)
    of_pixels = of_pixels.at[: len(scores)].set(scores)
    return {
        'segments': segments,
        'classes': table.astype(jnp.uint8),
        'scores': jnp.where(there, of_pixels, 0.0),
        'labels': labels.astype(jnp.uint8),
    }

  return jax.vmap(of_image)(
      logits, *(found[x] for x in ('boxes', 'classes', 'scores', 'masks'))
  )


def scores(label_map: LabelMap, *, absent: str = 'skip') -> panoptic.Scores:
  """Returns empty scores, those of the task 'panoptic'.

  Args:
    label_map: classes of the data set; it says which are things.
    absent: what means of the class of each pixel do with classes that do not
      occur.

  Raises:
    ValueError: no class is a thing, or class 0 is one.
  """
  instances.scores(label_map)
  return panoptic.scores(label_map, absent=absent)
