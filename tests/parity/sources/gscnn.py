"""Gated-SCNN of its authors, its edges and its losses."""

import jax
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.convert.rules.nvidia import gscnn as rules
from segjax.losses.image_weighted_cross_entropy import (
    image_weighted_cross_entropy,
)
from segjax.ops import dual_task
from tests.parity import reference
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import inside
from tests.parity.case import returned


def segmentation(logits, labels):
  return image_weighted_cross_entropy(logits, labels, average=False)


def edges(inputs):
  classes = inputs['logits'].shape[-1]
  return dual_task.class_edges(inputs['labels'], classes)


def weighted_edge_loss(inputs):
  return 20 * dual_task.edge_loss(inputs['edge'], edges(inputs))


def attention(inputs):
  near = inputs['edge'][..., 0] > 0.8
  return segmentation(inputs['logits'], jnp.where(near, inputs['labels'], 255))


def dual(inputs, noise=None):
  if noise is None:
    noise = dual_task.gumbel(inputs['draws'])
  return dual_task.dual_task_loss(inputs['logits'], inputs['labels'], noise)


LOSSES = {
    'seg_loss': lambda inputs: segmentation(inputs['logits'], inputs['labels']),
    'edge_loss': weighted_edge_loss,
    'att_loss': attention,
    'dual_loss': dual,
}


def gradient(loss, name):
  """The gradient of a loss of the inputs for one of them."""
  return jax.jit(
      lambda inputs: jax.grad(lambda x: loss({**inputs, name: x}))(inputs[name])
  )


def peak(inputs):
  """The pixel with the largest magnitude, that the others are divided by."""
  logits = jnp.where(inputs['labels'][..., None] == 255, 0, inputs['logits'])
  noise = dual_task.gumbel(inputs['draws'])
  largest = jax.nn.softmax((logits + noise) / 0.5).max(-1)
  return np.unravel_index(largest.argmax(), largest.shape)


def dual_gradient(inputs):
  """That pixel, the gradient at it, and the gradient elsewhere."""
  place = peak(inputs)
  whole = np.array(gradient(dual, 'logits')(inputs))
  there = whole[place].copy()
  whole[place] = 0
  return place, there, whole


def of_network(name):
  """A loss of the network's scores and of edges and labels that are given."""

  def find(out, parts):
    image, logits = parts['image'], out['logits']
    size = image.shape[1:3]
    coarse = len(image), *(-(-side // 8) for side in size)
    labels = reference.labels(parts['spec'], coarse, logits.shape[-1])
    labels = labels.repeat(8, 1).repeat(8, 2)[:, : size[0], : size[1]]
    inputs = {
        'logits': jnp.asarray(logits),
        'labels': labels,
        'edge': jax.nn.sigmoid(4 * image[..., :1]),
    }
    if name == 'edge_target':
      return edges(inputs)[..., None]
    if name == 'dual_loss':
      return dual(inputs, noise=0.0)
    return LOSSES[name](inputs)

  return find


CASES = {
    'gscnn': Case(
        lambda spec: models.create(
            'gscnn',
            spec['num_classes'],
            backbone='resnet38/a2(output_stride=8, final_norm=False)',
        ),
        rules.RULES,
        {
            'logits': returned('logits'),
            'edge': returned('edge'),
            'aspp_bottleneck': inside('project'),
            **{name: of_network(name) for name in ('edge_target', *LOSSES)},
        },
        parts=('project',),
        inputs=lambda image, given: {'canny': 255.0 * (image[..., 0] > 1)},
    ),
    'gscnn_targets': FunctionCase(
        {
            'edge_target': edges,
            **LOSSES,
            'grad_logits_seg_loss': gradient(LOSSES['seg_loss'], 'logits'),
            'grad_logits_att_loss': gradient(attention, 'logits'),
            'grad_edge_edge_loss': gradient(weighted_edge_loss, 'edge'),
            (
                'dual_peak',
                'grad_dual_peak',
                'grad_logits_dual_loss_rest',
            ): dual_gradient,
        }
    ),
}
