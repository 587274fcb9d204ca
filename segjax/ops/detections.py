"""Detections: which regions they are, and how they make a label map."""

import jax
import jax.numpy as jnp

# Logit of the class that is pasted on a pixel; that of others is 0.
PASTED = 10.0


def overlaps(regions):
  """Returns the intersections of regions over their unions.

  Args:
    regions: [B, H, W, N], 0 or 1.

  Returns:
    [B, N, N] float32; 0 for two empty ones.
  """
  flat = (regions > 0).astype(jnp.float32)
  both = jnp.einsum(
      'bhwn,bhwm->bnm', flat, flat, precision=jax.lax.Precision.HIGHEST
  )
  areas = flat.sum((1, 2))
  union = areas[:, :, None] + areas[:, None] - both
  return both / jnp.maximum(union, 1)


def suppress(scores, overlaps, max_overlap):
  """Greedy suppression of what is not the best of its place.

  Args:
    scores: [N].
    overlaps: [N, N], symmetric.
    max_overlap: with a kept one; above it a lower score is not kept.

  Returns:
    [N] booleans, which are kept. Of equal scores the first is better.
  """
  order = jnp.argsort(scores, descending=True)
  clash = overlaps[order][:, order] > max_overlap

  def visit(i, kept):
    beaten = (clash[i] & kept & (jnp.arange(len(kept)) < i)).any()
    return kept.at[i].set(~beaten)

  kept = jax.lax.fori_loop(0, len(order), visit, jnp.zeros(len(order), bool))
  return jnp.zeros_like(kept).at[order].set(kept)


def detect(scores, regions, max_overlap):
  """Returns the category of each region, and its score.

  Suppression is within a category. A region has the category of its highest
  score among those in which it was kept.

  Args:
    scores: [B, N, K - 1], of the classes but the background.
    regions: [B, H, W, N], 0 or 1.
    max_overlap: see `suppress`.

  Returns:
    Classes from 1 on, [B, N], and scores, [B, N] float32, -inf where a region
    is empty or was not kept.
  """
  scores = scores.astype(jnp.float32)
  exists = (regions > 0).any((1, 2))[..., None]
  scores = jnp.where(exists, scores, -jnp.inf)
  of_image = jax.vmap(suppress, (1, None, None), 1)  # All categories.
  kept = jax.vmap(of_image, (0, 0, None))(
      scores, overlaps(regions), max_overlap
  )
  scores = jnp.where(kept, scores, -jnp.inf)
  return jnp.argmax(scores, -1) + 1, scores.max(-1)


def lay_over(masks, categories, scores, min_score, num_classes):
  """Pastes masks in the order of their scores; the highest lies on top.

  Args:
    masks: [B, N, H, W] booleans.
    categories: [B, N], classes from 1 on.
    scores: [B, N].
    min_score: masks with no higher score are left out.
    num_classes: K.

  Returns:
    Logits [B, H, W, K] float32: `PASTED` for the class of the mask that a pixel
    shows, or for the background, class 0, where there is none.
  """
  pasted = masks & (scores > min_score)[..., None, None]
  heights = jnp.where(pasted, scores[..., None, None], -jnp.inf)
  top = jnp.argmax(heights, 1)
  labels = jax.vmap(lambda table, index: table[index])(categories, top)
  labels = jnp.where(pasted.any(1), labels, 0)
  return PASTED * jax.nn.one_hot(labels, num_classes)
