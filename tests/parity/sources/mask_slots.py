"""Losses of kMaX-DeepLab in PyTorch and of MaX-DeepLab in TensorFlow."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from segjax.layers.mask_prediction import unit
from segjax.ops import mask_slots as ops
from segjax.ops import segment_matching
from tests.parity.case import FunctionCase

WEIGHTS = {'class': 3.0, 'dice': 3.0, 'mask': 0.3, 'instance': 1.0}
NAMES = {'class': 'ce', 'mask': 'mask', 'dice': 'dice'}
NAMES['instance'] = 'pixel_insdis'
LOGITS = 'class_logits', 'mask_logits', 'pixel_feature'
SAMPLES = 48


def truth_of(inputs):
  kinds = jnp.asarray(inputs['segment_labels'])
  masks = jnp.asarray(inputs['segment_masks']) * (kinds >= 0)[:, None, None]
  # Which of them are things does not matter to these losses.
  return ops.Targets(masks, kinds.clip(0), kinds >= 0, kinds >= 0)


def matched_of(inputs):
  return ops.match(
      jnp.asarray(inputs['class_logits']),
      jnp.asarray(inputs['mask_logits']),
      truth_of(inputs),
  )


def of_segments(inputs, name):
  values = getattr(matched_of(inputs), name)
  outside = -1 if name == 'queries' else 0
  return jnp.where(truth_of(inputs).valid, values, outside)


def laid_out(inputs, name):
  """Values of segments by query."""
  truth, matched = truth_of(inputs), matched_of(inputs)
  if name == 'class':
    values, other = truth.classes, inputs['class_logits'].shape[-1] - 1
  else:
    values, other = jnp.maximum(matched.probability, ops.SMALLEST), 0.0
  others = jnp.full(inputs['class_logits'].shape[:2], other)
  return ops.of_queries(values, others, matched, truth)


def places_of(inputs):
  weight = ops.inverse_area(truth_of(inputs).masks)
  return ops.sample_pixels(weight, inputs['uniform'], SAMPLES, 1.5)


def label_of(inputs):
  label = jnp.asarray(inputs['semantic'])
  label = jnp.where(label < 0, segment_matching.IGNORE, label)
  return ops.thinned(label, inputs['semantic_logits'].shape[1:3])


def semantic_places(inputs):
  masks = jax.nn.one_hot(label_of(inputs), inputs['semantic_logits'].shape[-1])
  return ops.sample_pixels(
      ops.inverse_area(masks), inputs['semantic_uniform'], SAMPLES, 2.0
  )


def total_of(logits, inputs):
  """The loss, and its parts by the names that the original has."""
  truth, matched = truth_of(inputs), matched_of(inputs)
  weights = ops.class_weights(inputs['mask_logits'], truth, matched)
  found, total = {}, 0.0
  for prefix, end in (('', ''), ('aux_', '_aux')):
    classes, masks, features = (logits[prefix + name] for name in LOGITS)
    parts = ops.prediction_losses(classes, masks, weights, truth, matched)
    parts['instance'] = ops.pixel_contrast(
        unit(features), truth, places_of(inputs)
    )
    for name, part in parts.items():
      found[f'loss_{NAMES[name]}{end}'] = part.mean()
      total += WEIGHTS[name] * part.mean()
  semantic = ops.sampled_semantic_loss(
      logits['semantic_logits'],
      label_of(inputs),
      inputs['semantic_uniform'],
      count=SAMPLES,
      power=2.0,
  ).mean()
  found['loss_aux_semantic'] = semantic
  return total + semantic, found


def logits_of(inputs):
  names = *LOGITS, *(f'aux_{name}' for name in LOGITS), 'semantic_logits'
  return {name: jnp.asarray(inputs[name]) for name in names}


def values(inputs):
  total, parts = jax.jit(total_of)(logits_of(inputs), inputs)
  return total, *(parts[name] for name in PARTS)


def gradients(inputs):
  found, _ = jax.jit(jax.grad(total_of, has_aux=True))(
      logits_of(inputs), inputs
  )
  return tuple(found[name] for name in GRADIENTS)


def inverse_share(inputs):
  """Pixels of the image for each of a segment; void is of none."""
  inverse = ops.inverse_area(truth_of(inputs).masks)
  return jnp.where(inverse > 0, inverse, 1) * inverse[0].size


def in_order(function):
  return lambda inputs: np.sort(function(inputs), -1)


def max_batch(inputs):
  """The truth in order of our classes, which are things first."""
  label, kinds = inputs['semantic'], inputs['thing_class']
  order = np.append(MODEL_CLASS, np.full(256 - 5, segment_matching.IGNORE))
  return {
      'label': jnp.asarray(order[label]),
      'instances': jnp.asarray(inputs['thing_id'] + 1),
      'instance_classes': jnp.asarray(
          np.where(kinds < 0, segment_matching.IGNORE, order[kinds])
      ),
      'instance_crowds': jnp.zeros(kinds.shape, jnp.uint8),
  }


def max_losses(logits, batch):
  """The losses of each image with their weights."""
  classes, masks = logits['class_logits'], logits['mask_logits']
  _, *size, number = masks.shape
  truth = ops.targets(size, classes.shape[-1] - 1, number, **batch)
  matched = ops.match(classes, masks, truth)
  weights = ops.class_weights(masks, truth, matched)
  parts = ops.prediction_losses(classes, masks, weights, truth, matched)
  features = unit(logits['pixel_feature'])
  parts['instance'] = ops.segment_contrast(features, truth)
  parts['semantic'] = ops.semantic_loss(
      # The data set's order of classes there.
      logits['semantic_logits'][..., np.argsort(MODEL_CLASS)],
      ops.thinned(batch['label'], size),
  )
  parts = {name: WEIGHTS.get(name, 1.0) * part for name, part in parts.items()}
  places = ops.sample_pixels(
      ops.inverse_area(truth.masks), logits['uniform'], 40, 0.6
  )
  contrast = ops.pixel_contrast(features, truth, places)
  return parts, contrast, truth, matched, places


def max_values(inputs):
  logits = max_logits(inputs) | {'uniform': inputs['uniform']}
  batch = max_batch(inputs)
  parts, contrast, truth, matched, places = jax.jit(max_losses)(logits, batch)
  total = sum(part.mean() for part in parts.values())
  others = total - parts['instance'].mean()
  segments = segment_matching.panoptic_segments(
      ops.thinned(batch['label'], (17, 25)),
      ops.thinned(batch['instances'], (17, 25)),
      batch['instance_classes'],
      batch['instance_crowds'],
      5,
      12,
  )
  # There in the order of objects, and of stuff in the data set's.
  slots = np.full((2, 8 + 5), -1)
  for row, ids, valid, found in zip(
      slots, segments.ids, truth.valid, matched.queries, strict=True
  ):
    row[np.asarray(ids)[valid]] = found[valid]
  return (
      *(parts[name] for name in MAX_NAMES.values()),
      total,
      np.concatenate([slots[:, :8], slots[:, 8 + 3 :]], 1),
      contrast,
      others + contrast.mean(),
      np.sort(places, -1),
  )


def max_gradients(inputs):
  batch, logits = max_batch(inputs), max_logits(inputs)

  def total(logits, contrastive=False):
    parts, contrast, *_ = max_losses(
        logits | {'uniform': inputs['uniform']}, batch
    )
    if contrastive:
      return contrast.mean()
    return sum(part.mean() for part in parts.values())

  found = jax.jit(jax.grad(total))(logits)
  other = jax.jit(jax.grad(functools.partial(total, contrastive=True)))(logits)
  return *(found[name] for name in MAX_LOGITS), other['pixel_feature']


def max_logits(inputs):
  return {name: jnp.asarray(inputs[name]) for name in MAX_LOGITS}


# Our number of each class of the data set: things 2, 3, 4 come first.
MODEL_CLASS = np.array([3, 4, 0, 1, 2])
MAX_NAMES = {
    'pq_style_loss_class_term': 'class',
    'pq_style_loss_mask_dice_term': 'dice',
    'mask_id_cross_entropy_loss': 'mask',
    'instance_discrimination_loss': 'instance',
    'semantic_loss': 'semantic',
}
MAX_LOGITS = (*LOGITS, 'semantic_logits')
PARTS = (
    *(f'loss_{name}{end}' for end in ('', '_aux') for name in NAMES.values()),
    'loss_aux_semantic',
)
GRADIENTS = (*LOGITS, *(f'aux_{name}' for name in LOGITS), 'semantic_logits')

CASES = {
    'kmax_losses': FunctionCase(
        {
            'matched_query': functools.partial(of_segments, name='queries'),
            'matched_dice': functools.partial(of_segments, name='dice'),
            'matched_class_probability': functools.partial(
                of_segments, name='probability'
            ),
            'class_of_query': functools.partial(laid_out, name='class'),
            'mask_weight_of_query': functools.partial(
                laid_out, name='probability'
            ),
            'class_weight_of_query': lambda inputs: ops.class_weights(
                inputs['mask_logits'], truth_of(inputs), matched_of(inputs)
            ),
            'void': lambda inputs: (truth_of(inputs).inside == 0).astype(int),
            'inverse_area': inverse_share,
            'sampled_pixels': in_order(places_of),
            'sampled_semantic_pixels': in_order(semantic_places),
            ('total', *PARTS): values,
            tuple(f'grad_{name}' for name in GRADIENTS): gradients,
        },
        within=1e-4,
    ),
    'max_deeplab_losses': FunctionCase(
        {
            (
                *MAX_NAMES,
                *('total', 'matched_slot'),
                'instance_discrimination_loss_contrastive',
                *('total_contrastive', 'sampled_pixels'),
            ): max_values,
            (
                *(f'grad_{name}' for name in MAX_LOGITS),
                'grad_pixel_feature_contrastive',
            ): max_gradients,
        },
        within=1e-4,
    ),
}
