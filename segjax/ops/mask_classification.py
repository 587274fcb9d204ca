"""Mask classification: matching of queries to segments, losses and scores.

A system of mask classification predicts for each of Q queries a class, or that
there is none, and a mask. In training every segment of an image is matched to
one query: the assignment of least cost, found on the device. Masks are compared
at sampled points alone, and the truth is read there as well, so that no mask of
a segment is ever in memory.

Cheng et al., MaskFormer, 2021, https://arxiv.org/abs/2107.06278, section 3.2,
and Mask2Former, 2021, https://arxiv.org/abs/2112.01527, section 3.3.
"""

from collections.abc import Callable

import jax
from jax import lax
import jax.numpy as jnp
import optax

from segjax.ops import points as ops
from segjax.ops.reduce import mean_over
from segjax.ops.resize import resize
from segjax.ops.segment_matching import Segments
from segjax.ops.segment_matching import class_segments
from segjax.ops.segment_matching import match
from segjax.ops.segment_matching import object_segments
from segjax.ops.segment_matching import panoptic_segments


def masks_at(
    numbers: jax.Array, ids: jax.Array, points: jax.Array
) -> jax.Array:
  """Reads the masks of segments at points, bilinearly, 0 outside.

  Args:
    numbers: [B, H, W], of `Segments`.
    ids: [B, T], which segments.
    points: [B, P, 2] or [B, T, P, 2], (x, y).

  Returns:
    [B, P, T] of T segments at the same points; or [B, T, P] of T segments at
    points of their own.
  """
  size = numbers.shape[1:3]
  batch, shape = len(numbers), points.shape[:-1]
  position = ops.positions(points, size).reshape(batch, -1, 2)
  index, weights = ops.corners(position, size)
  flat, total = numbers.reshape(batch, -1), 0.0
  for i in range(4):
    number = jnp.take_along_axis(flat, index[..., i], 1, mode='clip')
    number, weight = number.reshape(shape), weights[..., i].reshape(shape)
    if points.ndim == 3:
      total += weight[..., None] * (number[..., None] == ids[:, None])
    else:
      total += weight * (number == ids[..., None])
  return total


def matching_cost(
    class_logits: jax.Array,
    mask_logits: jax.Array,
    segments: Segments,
    points: jax.Array,
    *,
    class_weight: float = 2.0,
    mask_weight: float = 5.0,
    dice_weight: float = 5.0,
) -> jax.Array:
  """Returns what it costs to match each segment to each query.

  It is the weighted sum of minus the probability of the segment's class, the
  binary cross entropy of the mask and its Dice loss, both at the points.

  Args:
    class_logits: [B, Q, K + 1], the last one for no segment.
    mask_logits: [B, h, w, Q].
    segments: of each image.
    points: [B, P, 2], (x, y).
    class_weight: factor of the first term.
    mask_weight: factor of the second one.
    dice_weight: factor of the third one.

  Returns:
    [B, T, Q] in float32.
  """
  logits = ops.sample(mask_logits.astype(jnp.float32), points)
  truth = masks_at(segments.numbers, segments.ids, points)
  count = points.shape[1]
  entropy = jax.nn.softplus(logits).sum(1)[:, None] - _pairs(truth, logits)
  shares = jax.nn.sigmoid(logits)
  overlap = 2 * _pairs(truth, shares) + 1
  area = truth.sum(1)[:, :, None] + shares.sum(1)[:, None] + 1
  probabilities = jax.nn.softmax(class_logits.astype(jnp.float32))
  of_class = jnp.take_along_axis(
      probabilities.swapaxes(1, 2), segments.classes[..., None], 1
  )
  return (
      mask_weight * entropy / count
      + dice_weight * (1 - overlap / area)
      - class_weight * of_class
  )


def _pairs(truth, values):
  """Sums products over points: of [B, P, T] and [B, P, Q] to [B, T, Q]."""
  return jnp.einsum('bpt,bpq->btq', truth, values)


def choose_points(
    mask_logits: jax.Array,
    draws: jax.Array,
    count: int,
    importance: float,
) -> jax.Array:
  """Returns points of masks, most of them where the masks are uncertain.

  Args:
    mask_logits: [N, h, w, 1], one mask each.
    draws: [N, P, 2], random points: candidates, and as many as are kept
      whatever the mask is there.
    count: number of points of each mask.
    importance: share of them that is chosen among the candidates.

  Returns:
    [N, count, 2].
  """
  uncertain = int(importance * count)
  candidates = draws.shape[1] - (count - uncertain)
  chosen = ops.most_uncertain(mask_logits, draws[:, :candidates], uncertain)
  return jnp.concatenate([chosen, draws[:, candidates:]], 1)


def mask_sums(
    mask_logits: jax.Array,
    segments: Segments,
    queries: jax.Array,
    draws: jax.Array,
    *,
    count: int,
    importance: float = 0.75,
) -> tuple[jax.Array, jax.Array]:
  """Sums cross entropy and Dice loss, at sampled points, over matched masks.

  Args:
    mask_logits: [B, h, w, Q].
    segments: of each image.
    queries: [B, T], the query of each segment.
    draws: [B, T, P, 2], random points of each, see `choose_points`.
    count: number of points of each mask.
    importance: see `choose_points`.

  Returns:
    Two scalars; the cross entropy of a mask is a mean over its points.
  """
  batch, height, width, _ = mask_logits.shape
  masks = jnp.take_along_axis(mask_logits, queries[:, None, None], 3)
  masks = jnp.moveaxis(masks, 3, 1).reshape(-1, height, width, 1)
  masks = masks.astype(jnp.float32)
  draws = draws.reshape(-1, *draws.shape[2:])
  points = choose_points(lax.stop_gradient(masks), draws, count, importance)
  logits = ops.sample(masks, points).reshape(batch, -1, count)
  points = points.reshape(batch, -1, count, 2)
  truth = masks_at(segments.numbers, segments.ids, points)
  entropy = optax.sigmoid_binary_cross_entropy(logits, truth).mean(-1)
  shares = jax.nn.sigmoid(logits)
  overlap = 2 * (shares * truth).sum(-1) + 1
  dice = 1 - overlap / (shares.sum(-1) + truth.sum(-1) + 1)
  return (entropy * segments.valid).sum(), (dice * segments.valid).sum()


def class_sums(
    class_logits: jax.Array,
    segments: Segments,
    queries: jax.Array,
    *,
    void_weight: float = 0.1,
) -> tuple[jax.Array, jax.Array]:
  """Sums the weighted cross entropy of the classes of all queries.

  Args:
    class_logits: [B, Q, K + 1], the last one for no segment.
    segments: of each image.
    queries: [B, T], the query of each segment.
    void_weight: weight of the queries that are matched to none.

  Returns:
    The sum, and the sum of weights to divide it by.
  """
  batch, number, _ = class_logits.shape
  void = class_logits.shape[-1] - 1
  rows = jnp.arange(batch)[:, None]
  # No query is twice among them; those of no segment write void.
  classes = jnp.where(segments.valid, segments.classes, void)
  target = jnp.full((batch, number), void).at[rows, queries].set(classes)
  weight = jnp.where(target == void, void_weight, 1.0)
  entropy = optax.softmax_cross_entropy_with_integer_labels(
      class_logits.astype(jnp.float32), target
  )
  return (weight * entropy).sum(), weight.sum()


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable | None = None,
    class_weight: float = 2.0,
    mask_weight: float = 5.0,
    dice_weight: float = 5.0,
    void_weight: float = 0.1,
    points: int = 12544,
    oversampling: int = 3,
    importance: float = 0.75,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the loss of several predictions of the same images, and its parts.

  A model of mask classification has it for its `loss`, in the place of that of
  the task, see segjax/models/README.md. Each prediction is matched for itself,
  and the losses of all are added; the parts are means over the predictions,
  without factors.

  Args:
    out: with the logits of L predictions, `layer_class_logits` [L, B, Q, K + 1]
      and `layer_mask_logits` [L, B, h, w, Q].
    batch: fields that the task reads, by name. The segments are those of the
      task: classes, objects and classes of stuff, or objects alone.
    rng: key of the points.
    base: loss of the task, not used.
    class_weight: factor of the cross entropy of classes.
    mask_weight: factor of that of masks.
    dice_weight: factor of the Dice loss of masks.
    void_weight: see `class_sums`.
    points: number of points at which masks are compared.
    oversampling: candidates that are drawn for each point of a matched mask.
    importance: share of the points that uncertainty chooses among them.
  """
  del base
  class_logits = out['layer_class_logits']
  layers, images, queries, classes = class_logits.shape
  segments = _segments(classes - 1, queries, **batch)
  number = segments.ids.shape[1]
  candidates = oversampling * points + points - int(importance * points)

  def of_layer(given):
    class_logits, mask_logits, key = given
    keys = jax.random.split(key)
    chosen = match(
        matching_cost(
            lax.stop_gradient(class_logits),
            lax.stop_gradient(mask_logits),
            segments,
            jax.random.uniform(keys[0], (images, points, 2)),
            class_weight=class_weight,
            mask_weight=mask_weight,
            dice_weight=dice_weight,
        ),
        segments.valid,
    )
    draws = jax.random.uniform(keys[1], (images, number, candidates, 2))
    return *class_sums(
        class_logits, segments, chosen, void_weight=void_weight
    ), *mask_sums(
        mask_logits,
        segments,
        chosen,
        draws,
        count=points,
        importance=importance,
    )

  # One after the other, and what the points hold is computed again for the
  # gradient: 12544 points of 100 masks would be many gigabytes otherwise.
  sums = lax.map(
      jax.checkpoint(of_layer),
      (class_logits, out['layer_mask_logits'], jax.random.split(rng, layers)),
  )
  entropy, weight, mask, dice = (x.sum() for x in sums)
  matched = layers * segments.valid.sum()
  parts = {
      'class': mean_over(entropy, weight),
      'mask': mean_over(mask, matched),
      'dice': mean_over(dice, matched),
  }
  factors = {'class': class_weight, 'mask': mask_weight, 'dice': dice_weight}
  total = sum(factors[name] * part for name, part in parts.items())
  return layers * total, parts


def _segments(
    num_classes,
    queries,
    *,
    label=None,
    instances=None,
    instance_classes=None,
    instance_crowds=None,
    instance_valid=None,
    **others,
):
  """Returns the segments of a batch, no more than there are queries."""
  del others
  if instances is None:
    return class_segments(label, num_classes, queries)
  if label is None:
    return object_segments(instances, instance_classes, instance_valid, queries)
  return panoptic_segments(
      label,
      instances,
      instance_classes,
      instance_crowds,
      num_classes,
      queries,
  )


def detect(
    class_logits: jax.Array,
    mask_logits: jax.Array,
    size: tuple[int, int],
    is_thing: jax.Array,
    count: int,
) -> dict[str, jax.Array]:
  """Returns the best objects of an image, each a query with a class.

  The score of an object is the probability of the class times the mean
  probability of the mask where that is above a half. A query may be several
  objects, of different classes.

  Args:
    class_logits: [Q, K + 1], the last one for no segment.
    mask_logits: [h, w, Q].
    size: (height, width) of the image.
    is_thing: [K], the classes that are looked for.
    count: of objects, at most; D is this, or Q * K.

  Returns:
    `boxes` [D, 4], y0 x0 y1 x1 around the masks; `classes` [D]; `scores` [D], 0
    where a mask is empty; and `inside` [height, width, ceil(D / 8)] uint8, in
    which bit i % 8 of byte i // 8 tells whether a pixel is of object i.
  """
  queries, kinds = class_logits.shape[0], len(is_thing)
  probabilities = jax.nn.softmax(class_logits.astype(jnp.float32))[:, :-1]
  probabilities = jnp.where(is_thing, probabilities, 0.0)
  best, index = lax.top_k(
      probabilities.reshape(-1), min(count, queries * kinds)
  )

  def measure(query):
    low = mask_logits[..., query][None, ..., None].astype(jnp.float32)
    mask = resize(low, size)[0, ..., 0]
    inside = mask > 0
    area = inside.sum()
    sure = (jax.nn.sigmoid(mask) * inside).sum() / jnp.maximum(area, 1)
    bounds = [
        bound
        for line in (inside.any(1), inside.any(0))
        for bound in (line.argmax(), len(line) - line[::-1].argmax())
    ]
    y0, y1, x0, x1 = jnp.where(area > 0, jnp.stack(bounds), 0)
    box = jnp.stack([y0, x0, y1, x1]).astype(jnp.float32)
    return sure, box, inside

  # One after the other: enlarged masks are as large as the image.
  sure, boxes, inside = lax.map(measure, index // kinds)
  return {
      'boxes': boxes,
      'classes': index % kinds,
      'scores': best * sure,
      'inside': jnp.moveaxis(
          jnp.packbits(inside, axis=0, bitorder='little'), 0, -1
      ),
  }


def semantic_logits(
    class_logits: jax.Array, mask_logits: jax.Array, size: tuple[int, int]
) -> jax.Array:
  """Returns logits of the class of each pixel, logarithms of its scores.

  The score of a class at a pixel is the sum over queries of the probability of
  the class times that of the mask there.

  Args:
    class_logits: [B, Q, K + 1], the last one for no segment.
    mask_logits: [B, h, w, Q].
    size: (height, width) of the result.

  Returns:
    [B, height, width, K] in the type of `mask_logits`.
  """
  probabilities = jax.nn.softmax(class_logits.astype(jnp.float32))[..., :-1]
  masks = jax.nn.sigmoid(resize(mask_logits.astype(jnp.float32), size))
  scores = jnp.einsum('bqk,bhwq->bhwk', probabilities, masks)
  return jnp.log(scores + 1e-6).astype(mask_logits.dtype)
