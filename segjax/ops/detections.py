"""Detections from scored regions or boxes: suppression, and label maps."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from segjax.ops import anchors as anchor_ops
from segjax.ops import boxes as box_ops

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
  # A region can only be suppressed by one of higher score, so whoever is kept
  # is found from the top down: each round settles at least one more region,
  # and few rounds settle all.
  clash &= jnp.arange(len(order))[:, None] > jnp.arange(len(order))

  def keep(state):
    kept, _ = state
    now = ~(clash & kept).any(1)
    return now, (now != kept).any()

  first = jnp.ones(len(order), bool), jnp.array(True)
  kept, _ = jax.lax.while_loop(lambda state: state[1], keep, first)
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


def propose(
    logits: jax.Array,
    deltas: jax.Array,
    anchors: jax.Array,
    counts: Sequence[int],
    size: tuple[int, int],
    *,
    before: int,
    count: int,
    max_overlap: float = 0.7,
    min_side: float = 1e-3,
) -> tuple[jax.Array, jax.Array]:
  """Returns the best boxes of a region proposal network for one image.

  Args:
    logits: [A], that there is an object.
    deltas: [A, 4], from the anchors to it.
    anchors: [A, 4].
    counts: anchors of each level; `logits` has them one after the other.
    size: (height, width) of the image, to which boxes are clipped.
    before: boxes of each level that go into the suppression, the best ones.
    count: N, the best boxes of all levels together.
    max_overlap: of two boxes of a level, see `suppress`.
    min_side: boxes with a smaller side are left out.

  Returns:
    Boxes [N, 4] float32, the best first, and their logits [N], -inf where there
    are fewer boxes.
  """
  boxes, scores = [], []
  most = min(before, max(counts))
  ends = [sum(counts[:i]) for i in range(len(counts) + 1)]
  for start, stop in zip(ends, ends[1:], strict=False):
    score, index = jax.lax.top_k(
        logits[start:stop].astype(jnp.float32), min(before, stop - start)
    )
    box = anchor_ops.decode(
        deltas[start:stop][index], anchors[start:stop][index]
    )
    missing = 0, most - len(index)
    boxes.append(jnp.pad(box_ops.clip(box, size), (missing, (0, 0))))
    scores.append(jnp.pad(score, missing, constant_values=-jnp.inf))
  boxes, scores = jnp.stack(boxes), jnp.stack(scores)
  large = ((boxes[..., 2:] - boxes[..., :2]) >= min_side).all(-1)
  scores = jnp.where(large, scores, -jnp.inf)
  # What is left out has no area, and so suppresses nothing.
  boxes = jnp.where(scores[..., None] > -jnp.inf, boxes, 0)
  kept = jax.vmap(suppress, (0, 0, None))(
      scores, box_ops.overlaps(boxes, boxes), max_overlap
  )
  scores = jnp.where(kept, scores, -jnp.inf).ravel()
  scores, index = jax.lax.top_k(scores, min(count, scores.size))
  missing = 0, count - len(index)
  return (
      jnp.pad(boxes.reshape(-1, 4)[index], (missing, (0, 0))),
      jnp.pad(scores, missing, constant_values=-jnp.inf),
  )


def select(
    scores: jax.Array,
    boxes: jax.Array,
    *,
    count: int,
    min_score: float = 0.05,
    max_overlap: float = 0.5,
    min_side: float = 1e-2,
    candidates: int = 1000,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """Returns the best boxes of one image after suppression in each class.

  Args:
    scores: [N, K], a score for each class.
    boxes: [N, K, 4], a box for each class.
    count: D.
    min_score: scores have to be above it.
    max_overlap: of two boxes of a class, see `suppress`.
    min_side: boxes with a smaller side are left out.
    candidates: pairs of box and class that go into the suppression, the best
      ones. Where more pairs are above `min_score`, the others are left out.

  Returns:
    Boxes [D, 4], the best first, their classes [D] int32, their scores [D],
    -inf where there are fewer, and which row of N each is from, [D] int32.
  """
  num_classes = scores.shape[1]
  large = ((boxes[..., 2:] - boxes[..., :2]) >= min_side).all(-1)
  scores = jnp.where(large & (scores > min_score), scores, -jnp.inf).ravel()
  scores, index = jax.lax.top_k(scores, min(candidates, scores.size))
  boxes = boxes.reshape(-1, 4)[index]
  row, classes = index // num_classes, index % num_classes
  exists = scores > -jnp.inf
  boxes = jnp.where(exists[:, None], boxes, 0)
  same = classes[:, None] == classes
  table = jnp.where(same, box_ops.overlaps(boxes, boxes), 0)
  kept = suppress(scores, table, max_overlap)
  scores = jnp.where(kept, scores, -jnp.inf)
  scores, index = jax.lax.top_k(scores, min(count, scores.size))
  missing = 0, count - len(index)
  return (
      jnp.pad(boxes[index], (missing, (0, 0))),
      jnp.pad(classes[index].astype(jnp.int32), missing),
      jnp.pad(scores, missing, constant_values=-jnp.inf),
      jnp.pad(row[index].astype(jnp.int32), missing),
  )
