"""PIDNet of mmsegmentation 1.2.2, and its losses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from segjax import losses
from segjax import models
from segjax.convert.rules.mmseg import pidnet as rules
from segjax.losses.cross_entropy import cross_entropy
from segjax.models import pidnet
from segjax.ops.boundary import boundary_target
from segjax.ops.resize import resize
from segjax.tasks import semantic
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import inside

# Of the classes in the main loss.
WEIGHTS = np.float32([0.8, 1.0, 1.2, 0.9, 1.1])
# 400 of the pixels of two images.
OHEM = 'ohem_cross_entropy(threshold=0.9, min_kept=200)'


def loss(inputs):
  """The whole loss, and its parts without factors."""
  size = inputs['labels'].shape[1:3]
  p, logits, boundary = (
      resize(inputs[name], size, align_corners=True)
      for name in ('p_logits', 'logits', 'd_logits')
  )

  def aux_pixel(logits, labels, weight):
    del weight
    return cross_entropy(logits, labels, divide_by='all'), {}

  base = functools.partial(
      semantic.loss,
      pixel=losses.build(OHEM, WEIGHTS),
      aux=0.4,
      aux_pixel=aux_pixel,
  )
  out = {'logits': logits, 'aux': {'p': p}, 'boundary': boundary}
  batch = {'label': inputs['labels']}
  return pidnet.loss(out, batch, jax.random.key(0), base=base)


def part(name, factor=1.0):
  return lambda inputs: factor * loss(inputs)[1][name]


def gradients(inputs):
  names = ('p_logits', 'logits', 'd_logits')
  given = {name: jnp.asarray(inputs[name], jnp.float32) for name in names}
  found = jax.grad(lambda given: loss({**inputs, **given})[0])(given)
  return [found[name] for name in names]


def accuracy(inputs):
  labels = inputs['labels']
  logits = resize(inputs['logits'], labels.shape[1:3], align_corners=True)
  valid = labels != 255
  hits = (logits.argmax(-1) == labels) & valid
  return 100 * hits.sum() / valid.sum()


CASES = {
    'pidnet_s': Case(
        lambda spec: models.create('pidnet', spec['num_classes'], dropout=0.0),
        rules.RULES,
        {
            # Before they are enlarged.
            'logits': inside('head'),
            'p_logits': inside('aux_p'),
            'd_logits': inside('boundary'),
            'backbone_first32': inside('fusion', first=32),
        },
        parts=('head', 'aux_p', 'boundary', 'fusion'),
    ),
    'pidnet_losses': FunctionCase(
        {
            'edges': lambda inputs: boundary_target(inputs['labels']),
            'loss_sem_p': part('aux_p', 0.4),
            'loss_sem_i': part('ohem_cross_entropy'),
            'loss_bd': part('boundary', 20.0),
            'loss_sem_bd': part('at_boundary'),
            'total': lambda inputs: loss(inputs)[0],
            'acc_seg': accuracy,
            ('grad_p_logits', 'grad_logits', 'grad_d_logits'): gradients,
        }
    ),
}
