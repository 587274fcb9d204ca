"""SegFix of its authors: network, truth, loss and refinement."""

import jax.numpy as jnp
import numpy as np

from segjax import losses
from segjax import models
from segjax.convert.rules.openseg import segfix as rules
from segjax.data import directions as truth
from segjax.ops import directions as ops
from segjax.tasks import boundaries
from tests.parity import reference
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import inside


def base_labels(parts):
  """Labels in cells of 8x8 pixels, 255 for ignored ones."""
  batch, height, width, _ = parts['image'].shape
  coarse = reference.labels(
      parts['spec'], (batch, -(-height // 8), -(-width // 8)), 6
  )
  return coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width]


def truth_of(parts):
  """The batch that the fixture's loss is of."""
  image = parts['image']
  return {
      'label': base_labels(parts),
      'distance': 10 * np.abs(image[..., 0]),
      'angle': 180 * np.tanh(image[..., 1]),
  }


def predicted(out):
  out = {name: jnp.asarray(out[name]) for name in ('logits', 'boundary')}
  return np.asarray(boundaries.predict(out, None)['labels'])


def steps(labels):
  """The offsets of labels: none inside, else a step in their direction."""
  return np.concatenate([np.zeros((1, 2), int), ops.STEPS])[labels]


def refined(out, parts):
  labels = base_labels(parts)
  labels = np.where(labels == 255, 0, labels)
  return np.stack(
      [
          ops.look_up(label, found, 2.0)
          for label, found in zip(labels, predicted(out), strict=True)
      ]
  )[..., None]


def loss(out, parts):
  pixel = losses.build('batch_weighted_cross_entropy')
  out = {'logits': jnp.asarray(out['logits'])}
  return boundaries.loss(out, truth_of(parts), None, pixel=pixel)[0]


def direction_label(out, parts):
  del out
  batch = truth_of(parts)
  known = batch['label'] != 255
  return ops.direction_labels(batch['angle'], known, ignore=-1)[..., None]


def labels_of(inputs):
  """The map of SegFix's truth, and where it is known."""
  label = inputs['labels'].astype(np.uint8)
  return *truth.distance_and_angle(label), label != 255


def depth_and_vector(inputs):
  return truth.depth_and_gradient(inputs['labels'].astype(np.uint8))


def angles(inputs):
  _, angle, _ = labels_of(inputs)
  return angle, (angle + 180) / 2


def training_labels(inputs):
  """Boundary, direction, and direction at the boundary."""
  distance, angle, known = labels_of(inputs)
  boundary = ops.boundary_labels(distance, known, ignore=-1)
  return (
      boundary,
      ops.direction_labels(angle, known, ignore=-1),
      ops.direction_labels(angle, boundary == 1, ignore=-1),
  )


def offset(inputs):
  """Steps near outlines; ignored pixels, whose distance is 0, have one too."""
  distance, angle, _ = labels_of(inputs)
  direction = np.asarray(ops.direction_labels(angle, True))
  return steps(np.where(distance <= 5, 1 + direction, 0))


CASES = {
    'segfix': Case(
        lambda spec: models.create('segfix', 2 + spec['build']['directions']),
        rules.RULES,
        {
            'mask_logits': inside('outline'),
            'direction_logits': inside('direction'),
            'offset': lambda out, parts: steps(predicted(out)),
            'refined_labels': refined,
            'loss': loss,
            'direction_label': direction_label,
        },
        parts=('outline', 'direction'),
        differing={'offset': 1e-3, 'refined_labels': 1e-3},
        whole=False,
    ),
    'segfix_targets': FunctionCase(
        {
            ('depth', 'vector'): depth_and_vector,
            'distance': lambda inputs: labels_of(inputs)[0],
            ('angle', 'angle_units'): angles,
            (
                'mask_label',
                'direction_label',
                'direction_label_boundary',
            ): training_labels,
            'offset': offset,
        },
        uncompared=('certain', 'angle'),
        # Angles halfway between two steps are rounded either way, and where
        # the gradient is nothing but rounding there is no direction.
        differing={
            'angle_units': 0.05,
            'direction_label': 1e-3,
            'direction_label_boundary': 1e-3,
            'offset': 1e-3,
        },
    ),
}
