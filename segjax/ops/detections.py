"""Detections from scored regions: non-maximum suppression and label maps."""

import jax
import jax.numpy as jnp

# Logit of the class that a pixel shows; the other classes have a logit of 0.
PASTED = 10.0


def overlaps(regions: jax.Array) -> jax.Array:
  """Returns the intersection over union of all pairs of regions.

  Args:
    regions: [B, H, W, N], 0 or 1.

  Returns:
    [B, N, N] float32; 0 where both regions are empty.
  """
  flat = (regions > 0).astype(jnp.float32)
  both = jnp.einsum(
      'bhwn,bhwm->bnm', flat, flat, precision=jax.lax.Precision.HIGHEST
  )
  areas = flat.sum((1, 2))
  union = areas[:, :, None] + areas[:, None] - both
  return both / jnp.maximum(union, 1)


def suppress(
    scores: jax.Array, overlaps: jax.Array, max_overlap: float
) -> jax.Array:
  """Applies greedy non-maximum suppression.

  Args:
    scores: [N]. Of equal scores the first counts as higher.
    overlaps: [N, N], symmetric.
    max_overlap: a region is suppressed if it overlaps a kept region of higher
      score by more than this.

  Returns:
    [N] booleans, true for the regions that are kept.
  """
  order = jnp.argsort(scores, descending=True)
  clash = overlaps[order][:, order] > max_overlap

  def visit(i, kept):
    suppressed = (clash[i] & kept & (jnp.arange(len(kept)) < i)).any()
    return kept.at[i].set(~suppressed)

  kept = jax.lax.fori_loop(0, len(order), visit, jnp.zeros(len(order), bool))
  return jnp.zeros_like(kept).at[order].set(kept)


def detect(
    scores: jax.Array, regions: jax.Array, max_overlap: float
) -> tuple[jax.Array, jax.Array]:
  """Returns the class of each region and its score after suppression.

  Suppression is done within each class. A region gets the class of its highest
  score among the classes in which it was kept.

  Args:
    scores: [B, N, K - 1], a score for each class but the background.
    regions: [B, H, W, N], 0 or 1.
    max_overlap: see `suppress`.

  Returns:
    Classes from 1 on, [B, N], and scores, [B, N] float32, -inf where a region
    is empty or was not kept.
  """
  scores = scores.astype(jnp.float32)
  exists = (regions > 0).any((1, 2))[..., None]
  scores = jnp.where(exists, scores, -jnp.inf)
  suppress_classes = jax.vmap(suppress, (1, None, None), 1)
  kept = jax.vmap(suppress_classes, (0, 0, None))(
      scores, overlaps(regions), max_overlap
  )
  scores = jnp.where(kept, scores, -jnp.inf)
  return jnp.argmax(scores, -1) + 1, scores.max(-1)


def lay_over(
    masks: jax.Array,
    categories: jax.Array,
    scores: jax.Array,
    min_score: float,
    num_classes: int,
) -> jax.Array:
  """Combines scored masks into one label map; the highest score lies on top.

  Args:
    masks: [B, N, H, W] booleans.
    categories: [B, N], classes from 1 on.
    scores: [B, N].
    min_score: masks whose score is not above this are left out.
    num_classes: K.

  Returns:
    Logits [B, H, W, K] float32: `PASTED` for the class of the topmost mask of a
    pixel, or for the background, class 0, where there is no mask.
  """
  pasted = masks & (scores > min_score)[..., None, None]
  heights = jnp.where(pasted, scores[..., None, None], -jnp.inf)
  top = jnp.argmax(heights, 1)
  labels = jax.vmap(lambda table, index: table[index])(categories, top)
  labels = jnp.where(pasted.any(1), labels, 0)
  return PASTED * jax.nn.one_hot(labels, num_classes)
