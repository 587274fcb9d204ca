"""Targets and losses of detectors as torchvision has them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops import anchors as anchor_ops
from segjax.ops import box_matching
from segjax.ops import boxes as box_ops
from segjax.tasks import instances
from tests.parity.case import FunctionCase
from tests.parity.forward import quickly
from tests.parity.sources.roi_align import rows_first

STRIDES, SIZES, RATIOS = (8, 16, 32), ((16,), (32,), (64,)), (0.5, 1, 2)
IMAGE = 64, 96
RPN, ROI = 12, 20  # Rows that are sampled of an image.
WEIGHTS = anchor_ops.BOX_WEIGHTS


def anchors():
  shapes = [(IMAGE[0] // s, IMAGE[1] // s) for s in STRIDES]
  strides = [(s, s) for s in STRIDES]
  return jnp.asarray(anchor_ops.anchors(shapes, strides, SIZES, RATIOS))


def truth(inputs):
  """Boxes [3, 5, 4], and which of them there are."""
  boxes = jnp.asarray(rows_first(inputs['gt_boxes']))
  return boxes, np.arange(5) < inputs['num_boxes'][:, None]


def matched(inputs, boxes, **options):
  """The true box and the label of each box, [3, A] each."""
  true, valid = truth(inputs)
  table = jnp.where(valid[:, None], box_ops.overlaps(boxes, true), -1)
  return jax.vmap(functools.partial(box_matching.match, **options))(table)


def first_stage(inputs, objectness, deltas):
  index, labels = matched(
      inputs, anchors()[None], low=0.3, high=0.7, keep_best=True
  )
  sample = jax.vmap(
      lambda draws, y: box_matching.sample(draws, y, RPN, RPN // 2)
  )
  return {
      'logits': objectness,
      'deltas': deltas,
      'boxes': jnp.broadcast_to(anchors(), deltas.shape),
      'labels': labels,
      'chosen': sample(inputs['rpn_draws'], labels),
      'matched': index,
  }


def rpn(inputs):
  """Everything of the first stage."""
  boxes, _ = truth(inputs)

  def losses(given):
    stage = first_stage(inputs, *given)
    parts = instances.anchor_losses(stage, boxes)
    return sum(parts), (stage, parts)

  given = jnp.asarray(inputs['objectness']), jnp.asarray(inputs['deltas'])
  gradient, (stage, parts) = jax.grad(losses, has_aux=True)(given)
  of = jnp.take_along_axis(boxes, stage['matched'][..., None], 1)
  targets = anchor_ops.encode(of, stage['boxes'])
  return (
      rows_first(stage['boxes'][0]),
      stage['labels'],
      stage['chosen'],
      jnp.where(stage['labels'][..., None] == 1, targets, 0),
      *parts,
      *gradient,
  )


def roi(inputs):
  """Everything of the second stage; sampled rows are in their order."""
  true, valid = truth(inputs)
  boxes = jnp.concatenate([rows_first(inputs['proposals']), true], 1)
  exists = np.concatenate([np.ones((3, 30), bool), valid], 1)
  index, labels = matched(inputs, boxes, low=0.5, high=0.5, keep_best=False)
  labels = jnp.where(exists, labels, box_matching.IGNORED)
  sample = jax.vmap(
      lambda draws, y: box_matching.sample(draws, y, ROI, ROI // 4)
  )
  chosen = sample(inputs['roi_draws'], labels)
  classes = np.take_along_axis(inputs['gt_labels'], np.asarray(index), 1)
  classes = jnp.where(labels > 0, classes, labels)
  rows = np.nonzero(chosen)  # As one image, which has all true boxes.
  matches = index[rows] + 5 * rows[0]

  def losses(given):
    stage = {
        'class_logits': given[0][None],
        'deltas': given[1].reshape(1, -1, 5, 4),
        'boxes': boxes[rows][None],
        'classes': classes[rows][None],
        'matched': matches[None],
    }
    parts = instances.roi_losses(stage, true.reshape(1, -1, 4))
    return sum(parts), parts

  given = tuple(
      jnp.asarray(inputs[name]) for name in ('class_logits', 'box_regression')
  )
  gradient, parts = quickly(jax.grad(losses, has_aux=True))(given)
  targets = anchor_ops.encode(
      true.reshape(-1, 4)[matches], boxes[rows], WEIGHTS
  )
  return (
      classes,
      # The original has 0 for background as well.
      jnp.where(labels > 0, index, 0),
      abs(chosen),
      rows_first(boxes[rows]),
      classes[rows],
      jnp.where(classes[rows][:, None] > 0, targets, 0),
      *parts,
      *gradient,
  )


CASES = {
    'detector_targets': FunctionCase(
        {
            (
                *('anchors', 'rpn_labels', 'rpn_sampled', 'rpn_targets'),
                *('rpn_loss_objectness', 'rpn_loss_box'),
                *('grad_objectness', 'grad_deltas'),
            ): quickly(rpn),
            (
                *('roi_labels', 'roi_matched', 'roi_sampled'),
                *('roi_sampled_boxes', 'roi_sampled_labels'),
                *('roi_sampled_targets', 'roi_loss_classifier'),
                *('roi_loss_box', 'grad_class_logits', 'grad_box_regression'),
            ): roi,
        }
    )
}
