"""Losses of MaX-DeepLab and kMaX-DeepLab, of queries that are mask slots.

https://arxiv.org/abs/2012.00759, section 3.2, and
https://arxiv.org/abs/2207.04044. Masks are compared at the resolution that they
are predicted at, where a softmax over queries divides the pixels among them.
Each segment is matched to a query so that the sum of products of class
probability and Dice similarity is the largest, as panoptic quality is such a
product. Void pixels, of no segment, are left out.

Losses are of each image, [B]. Where a mean is over terms that are not 0, a term
that happens to be 0 is not counted.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import optax

from segjax.ops import segment_matching
from segjax.ops.reduce import mean_over
from segjax.ops.reduce import ratio

SMALLEST = 1e-5  # Of weights.
OF_SEGMENTS = 0.75  # Share of the loss of queries that are matched.
TEMPERATURE = 0.3  # Of similarities of pixels.
LAST = -1e3  # Logarithm of a weight that is drawn after all others.


class Targets(NamedTuple):
  """The segments of each image at the resolution of masks.

  Attributes:
    masks: [B, h, w, T] in float32, 0 or 1, of T segments.
    classes: [B, T] int32.
    valid: [B, T], which segments are there.
    is_thing: [B, T], which of them are objects.
  """

  masks: jax.Array
  classes: jax.Array
  valid: jax.Array
  is_thing: jax.Array

  @property
  def inside(self):
    """1 where a pixel is of a segment, 0 of void pixels, [B, h, w]."""
    return self.masks.max(-1)


class Matched(NamedTuple):
  """Which query each segment is matched to, and how well they fit.

  Attributes:
    queries: [B, T] int32; segments that are not there have queries that are
      left.
    dice: [B, T], Dice similarity of the masks.
    probability: [B, T], of the class of the segment.
  """

  queries: jax.Array
  dice: jax.Array
  probability: jax.Array


def targets(
    size: Sequence[int],
    num_classes: int,
    queries: int,
    *,
    label: jax.Array,
    instances: jax.Array,
    instance_classes: jax.Array,
    instance_crowds: jax.Array,
    **others: jax.Array,
) -> Targets:
  """Returns the segments of a batch, read at every n-th pixel.

  Args:
    size: (h, w) of the masks.
    num_classes: K.
    queries: largest number of segments, see
      `segment_matching.panoptic_segments`.
    label: the fields of a batch that tell segments.
    instances: the same.
    instance_classes: the same.
    instance_crowds: the same.
    **others: further fields, which are not read.
  """
  del others
  objects = instance_classes.shape[1]
  segments = segment_matching.panoptic_segments(
      thinned(label, size),
      thinned(instances, size),
      instance_classes,
      instance_crowds,
      num_classes,
      min(queries, objects + num_classes),
  )
  same = segments.numbers[..., None] == segments.ids[:, None, None]
  masks = same & segments.valid[:, None, None]
  is_thing = segments.valid & (segments.ids < objects)
  return Targets(
      masks.astype(jnp.float32), segments.classes, segments.valid, is_thing
  )


def thinned(x: jax.Array, size: Sequence[int]) -> jax.Array:
  """Returns every n-th row and column of x, [B, H, W], for a size (h, w)."""
  rows, columns = (-(-n // m) for n, m in zip(x.shape[1:], size, strict=True))
  return x[:, ::rows, ::columns]


def shares(mask_logits: jax.Array, truth: Targets) -> jax.Array:
  """Returns what part of each pixel is a query's, 0 of void pixels."""
  parts = jax.nn.softmax(mask_logits.astype(jnp.float32))
  return parts * truth.inside[..., None]


def match(
    class_logits: jax.Array, mask_logits: jax.Array, truth: Targets
) -> Matched:
  """Matches segments to queries; nothing of it has a gradient.

  Args:
    class_logits: [B, Q, K + 1], the last one for no segment.
    mask_logits: [B, h, w, Q].
    truth: the segments.
  """
  parts = shares(mask_logits, truth)
  overlap = 2 * jnp.einsum('bhwt,bhwq->btq', truth.masks, parts)
  area = truth.masks.sum((1, 2))[:, :, None] + parts.sum((1, 2))[:, None]
  dice = overlap / (area + 2e-5)
  probability = class_probability(class_logits, truth)
  queries = segment_matching.match(-dice * probability, truth.valid)
  of_query = [
      jnp.take_along_axis(x, queries[..., None], 2)[..., 0]
      for x in (dice, probability)
  ]
  return lax.stop_gradient(Matched(queries, *of_query))


def class_probability(class_logits: jax.Array, truth: Targets) -> jax.Array:
  """Returns the probability of segments' classes in queries, [B, T, Q]."""
  probabilities = jax.nn.softmax(class_logits.astype(jnp.float32))
  return jnp.take_along_axis(
      probabilities.swapaxes(1, 2), truth.classes[..., None], 1
  )


def of_queries(
    values: jax.Array, others: jax.Array, matched: Matched, truth: Targets
) -> jax.Array:
  """Lays values of segments into an array over queries, [B, Q].

  Args:
    values: [B, T].
    others: [B, Q], values of queries that no segment is matched to.
    matched: which queries segments have.
    truth: the segments.
  """
  rows = jnp.arange(len(others))[:, None]
  kept = jnp.take_along_axis(others, matched.queries, 1)
  values = jnp.where(truth.valid, values, kept)
  return others.at[rows, matched.queries].set(values)


def class_weights(
    mask_logits: jax.Array, truth: Targets, matched: Matched
) -> jax.Array:
  """Returns weights of queries in the loss of classes, [B, Q].

  That of a matched query is the similarity of its mask; that of another is the
  share of its mask that is void, where it does no harm to predict no class.
  """
  parts = jax.nn.softmax(mask_logits.astype(jnp.float32))
  void = (parts * (1 - truth.inside[..., None])).sum((1, 2))
  void = jnp.maximum(ratio(void, parts.sum((1, 2))), SMALLEST)
  weights = of_queries(
      jnp.maximum(matched.dice, SMALLEST), void, matched, truth
  )
  return lax.stop_gradient(weights)


def class_loss(
    class_logits: jax.Array,
    weights: jax.Array,
    truth: Targets,
    matched: Matched,
) -> jax.Array:
  """Returns the weighted cross entropy of classes, a mean over queries."""
  void = class_logits.shape[-1] - 1
  nothing = jnp.full(class_logits.shape[:2], void)
  classes = of_queries(truth.classes, nothing, matched, truth)
  entropy = optax.softmax_cross_entropy_with_integer_labels(
      class_logits.astype(jnp.float32), classes
  )
  share = jnp.where(classes == void, 1 - OF_SEGMENTS, OF_SEGMENTS)
  return mean_of_terms(share * weights * entropy)


def dice_loss(
    mask_logits: jax.Array, truth: Targets, matched: Matched
) -> jax.Array:
  """Returns the Dice loss of masks, weighted by class probability.

  It is a sum over segments, divided by the number of queries.
  """
  parts = shares(mask_logits, truth)
  parts = jnp.take_along_axis(parts, matched.queries[:, None, None], 3)
  overlap = 2 * (parts * truth.masks).sum((1, 2)) + 1
  area = parts.sum((1, 2)) + truth.masks.sum((1, 2)) + 1
  weight = jnp.maximum(matched.probability, SMALLEST) * truth.valid
  terms = weight * (1 - overlap / area)
  return terms.sum(-1) * OF_SEGMENTS / mask_logits.shape[-1]


def mask_loss(
    mask_logits: jax.Array, truth: Targets, matched: Matched
) -> jax.Array:
  """Returns the cross entropy over queries, a mean over pixels of segments."""
  segment = truth.masks.argmax(-1)
  batch = len(segment)
  query = jnp.take_along_axis(matched.queries, segment.reshape(batch, -1), 1)
  entropy = optax.softmax_cross_entropy_with_integer_labels(
      mask_logits.astype(jnp.float32), query.reshape(segment.shape)
  )
  return mean_of_terms((entropy * truth.inside).reshape(batch, -1))


def inverse_area(masks: jax.Array) -> jax.Array:
  """Returns 1 / area of the segment of each pixel, 0 of void ones, [B, h, w].

  Args:
    masks: [B, h, w, T].
  """
  area = masks.sum((1, 2), keepdims=True)
  return (masks / jnp.maximum(area, 1)).max(-1)


def sample_pixels(
    weight: jax.Array, draws: jax.Array, count: int, power: float
) -> jax.Array:
  """Draws pixels without replacement, as likely as a power of their weight.

  Args:
    weight: [B, h, w], not negative; pixels of weight 0 come last.
    draws: [B, h * w], uniform random numbers.
    count: number of pixels, or all if there are fewer.
    power: of the weight.

  Returns:
    [B, count] int32, places in rows that follow each other.
  """
  weight = weight.reshape(len(weight), -1)
  safe = jnp.where(weight > 0, weight, 1.0)
  logits = jnp.where(weight > 0, power * jnp.log(safe), LAST)
  noise = -jnp.log(-jnp.log(draws))
  return lax.top_k(logits + noise, min(count, weight.shape[1]))[1]


def pixel_contrast(
    features: jax.Array, truth: Targets, places: jax.Array
) -> jax.Array:
  """Returns how badly pixels of a segment are told apart from others.

  For each pixel that was drawn, it is the cross entropy between a softmax over
  the similarities of all of these and the pixels of its own segment.

  Args:
    features: [B, h, w, C] of length 1.
    truth: the segments.
    places: [B, N], of `sample_pixels`.
  """
  batch = len(features)
  x, masks = (
      jnp.take_along_axis(
          values.reshape(batch, -1, values.shape[-1]), places[..., None], 1
      )
      for values in (features.astype(jnp.float32), truth.masks)
  )
  similarity = jnp.einsum('bnc,bmc->bnm', x, x) / TEMPERATURE
  same = jnp.einsum('bnt,bmt->bnm', masks, masks)
  share = ratio(same, same.sum(-1, keepdims=True))
  return mean_of_terms(-(share * jax.nn.log_softmax(similarity)).sum(-1))


def segment_contrast(features: jax.Array, truth: Targets) -> jax.Array:
  """Returns how badly pixels of things are told apart by segments' means.

  Each pixel of a thing is classified by its similarity to the mean features of
  all segments of its image.

  Args:
    features: [B, h, w, C] of length 1.
    truth: the segments.
  """
  x = features.astype(jnp.float32)
  means = jnp.einsum('bhwt,bhwc->btc', truth.masks, x)
  square = jnp.square(means).sum(-1, keepdims=True)
  means = means * lax.rsqrt(jnp.maximum(square, 1e-12))
  similarity = jnp.einsum('bhwc,btc->bhwt', x, means) / TEMPERATURE
  similarity = jnp.where(truth.valid[:, None, None], similarity, -jnp.inf)
  entropy = optax.softmax_cross_entropy_with_integer_labels(
      similarity, truth.masks.argmax(-1)
  )
  things = (truth.masks * truth.is_thing[:, None, None]).max(-1)
  # An image without a segment has no finite number, and no pixel of a thing.
  terms = jnp.where(things > 0, entropy, 0.0)
  return mean_of_terms(terms.reshape(len(terms), -1))


def semantic_loss(logits: jax.Array, label: jax.Array) -> jax.Array:
  """Returns the cross entropy of classes of pixels.

  Args:
    logits: [B, ..., K].
    label: [B, ...], `segment_matching.IGNORE` of void pixels.
  """
  valid = label < logits.shape[-1]
  entropy = optax.softmax_cross_entropy_with_integer_labels(
      logits.astype(jnp.float32), jnp.where(valid, label, 0)
  )
  return mean_of_terms((entropy * valid).reshape(len(label), -1))


def mean_of_terms(terms: jax.Array) -> jax.Array:
  """Averages the terms [B, N] of each image that are not 0."""
  return ratio(terms.sum(-1), (lax.stop_gradient(terms) != 0).sum(-1))


def sampled_semantic_loss(
    logits: jax.Array,
    label: jax.Array,
    draws: jax.Array,
    *,
    count: int,
    power: float,
) -> jax.Array:
  """Returns the cross entropy of pixels, drawn more often of rare classes.

  Args:
    logits: [B, h, w, K].
    label: [B, h, w], `segment_matching.IGNORE` of void pixels.
    draws: [B, h * w], uniform random numbers.
    count: number of pixels.
    power: see `sample_pixels`.
  """
  num_classes = logits.shape[-1]
  masks = jax.nn.one_hot(label, num_classes)  # Zeros of what is ignored.
  places = sample_pixels(inverse_area(masks), draws, count, power)
  batch = len(label)
  label = jnp.take_along_axis(label.reshape(batch, -1), places, 1)
  logits = jnp.take_along_axis(
      logits.reshape(batch, -1, num_classes), places[..., None], 1
  )
  return semantic_loss(logits, label)


def prediction_losses(
    class_logits: jax.Array,
    mask_logits: jax.Array,
    weights: jax.Array,
    truth: Targets,
    matched: Matched,
) -> dict[str, jax.Array]:
  """Returns the losses of classes, Dice and masks of each image, [B].

  Args:
    class_logits: [B, Q, K + 1], the last one for no segment.
    mask_logits: [B, h, w, Q].
    weights: [B, Q], of `class_weights`.
    truth: the segments.
    matched: which queries they have, of these logits or of those of a later
      layer, as the weights are.
  """
  return {
      'class': class_loss(class_logits, weights, truth, matched),
      'dice': dice_loss(mask_logits, truth, matched),
      'mask': mask_loss(mask_logits, truth, matched),
  }


def kmax_loss(
    out: Mapping[str, jax.Array],
    batch: Mapping[str, jax.Array],
    rng: jax.Array,
    *,
    weights: Mapping[str, float],
    samples: int,
    area_power: float,
    semantic_samples: int,
    semantic_power: float,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the loss of kMaX-DeepLab and its parts.

  All layers learn from the matching of the last one, and their losses are
  added; the parts are those of the last layer, without factors.

  Args:
    out: `layer_class_logits` [L, B, Q, K + 1], `layer_mask_logits` [L, B, h, w,
      Q], `layer_pixel_features` [L, B, h, w, C], and `semantic_logits` of K or
      K + 1 classes at any stride, 4D.
    batch: with `label`, `instances` and its tables.
    rng: key of the pixels that are drawn.
    weights: factors of 'class', 'dice', 'mask', 'instance' and 'semantic'.
    samples: number of pixels that are drawn.
    area_power: see `sample_pixels`.
    semantic_samples: `samples` of the auxiliary head, 0 for all pixels.
    semantic_power: `area_power` of the auxiliary head.
  """
  layers = [out[f'layer_{x}_logits'] for x in ('class', 'mask')]
  layers.append(out['layer_pixel_features'])
  last = [x[-1] for x in layers]
  _, *size, number = last[1].shape
  truth = targets(size, last[0].shape[-1] - 1, number, **batch)
  matched = match(*last[:2], truth)
  queries = class_weights(last[1], truth, matched)
  keys = jax.random.split(rng)
  places = sample_pixels(
      inverse_area(truth.masks), _draws(keys[0], last[1]), samples, area_power
  )
  total = 0.0
  for classes, masks, features in zip(*layers, strict=True):
    parts = prediction_losses(classes, masks, queries, truth, matched)
    parts['instance'] = pixel_contrast(features, truth, places)
    total += sum(weights[name] * part for name, part in parts.items())
  logits = out['semantic_logits']
  label = thinned(batch['label'], logits.shape[1:3])
  if semantic_samples:
    parts['semantic'] = sampled_semantic_loss(
        logits,
        label,
        _draws(keys[1], logits),
        count=semantic_samples,
        power=semantic_power,
    )
  else:
    parts['semantic'] = semantic_loss(logits, label)
  total += weights['semantic'] * parts['semantic']
  parts = {name: _mean(part) for name, part in parts.items()}
  return _mean(total), parts


def max_loss(
    out: Mapping[str, jax.Array],
    batch: Mapping[str, jax.Array],
    *,
    weights: Mapping[str, float],
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the loss of MaX-DeepLab and its parts, without factors.

  Args:
    out: `class_logits` [B, Q, K + 1], `mask_logits` [B, h, w, Q],
      `pixel_features` [B, h, w, C], and in `aux` the classes of pixels,
      'semantic' [B, H, W, K].
    batch: with `label`, `instances` and its tables.
    weights: factors of 'class', 'dice', 'mask', 'instance' and 'semantic'.
  """
  classes, masks = out['class_logits'], out['mask_logits']
  _, *size, number = masks.shape
  num_classes = classes.shape[-1] - 1
  truth = targets(size, num_classes, number, **batch)
  matched = match(classes, masks, truth)
  queries = class_weights(masks, truth, matched)
  parts = prediction_losses(classes, masks, queries, truth, matched)
  parts['instance'] = segment_contrast(out['pixel_features'], truth)
  parts['semantic'] = semantic_loss(out['aux']['semantic'], batch['label'])
  total = sum(weights[name] * part for name, part in parts.items())
  return _mean(total), {name: _mean(part) for name, part in parts.items()}


def _draws(key, x):
  """Uniform numbers above 0 for each pixel of x, [B, h, w, C]."""
  shape = x.shape[0], x.shape[1] * x.shape[2]
  return jax.random.uniform(key, shape, minval=1e-6)


def _mean(per_image):
  return mean_over(per_image.sum(), len(per_image))


def semantic_logits(
    class_logits: jax.Array, mask_logits: jax.Array
) -> jax.Array:
  """Returns logarithms of the scores of classes at each pixel, [B, H, W, K].

  The score of a class is the sum over queries of its probability times the
  share of the pixel that is the query's.

  Args:
    class_logits: [B, Q, K + 1], the last one for no segment.
    mask_logits: [B, H, W, Q].
  """
  probabilities = jax.nn.softmax(class_logits.astype(jnp.float32))[..., :-1]
  shares = jax.nn.softmax(mask_logits.astype(jnp.float32))
  scores = jnp.einsum('bqk,bhwq->bhwk', probabilities, shares)
  return jnp.log(scores + 1e-6).astype(mask_logits.dtype)
