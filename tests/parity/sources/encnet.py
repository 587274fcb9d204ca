"""EncNet of mmsegmentation 1.2.2 and of PyTorch-Encoding, and its loss."""

import jax

from segjax import models
from segjax.convert.rules.mmseg import encnet as mmseg
from segjax.convert.rules.zhanghang1989 import encnet as zhanghang1989
from segjax.losses.cross_entropy import cross_entropy
from segjax.models import encnet
from segjax.ops.targets import one_hot
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import inside
from tests.parity.case import returned

# Before they are enlarged.
SCORES = {
    'logits': inside('classifier'),
    'aux_0': inside('aux'),
    'se_logits': returned('presence'),
}
PARTS = ('classifier', 'aux', 'encoding')


def loss(inputs):
  """The whole loss of the authors' code, and its parts without factors."""

  def base(out, batch, rng):
    del rng
    total = cross_entropy(out['logits'], batch['label'])
    return total + 0.2 * cross_entropy(out['aux'], batch['label']), {}

  out = {
      'logits': inputs['logits'],
      'aux': inputs['aux_logits'],
      'presence': inputs['se_logits'],
  }
  batch = {'label': inputs['labels']}
  return encnet.loss(out, batch, jax.random.key(0), base=base)


def total(inputs):
  return loss(inputs)[0]


def presence(inputs):
  return loss(inputs)[1]['presence']


def weighted_presence(inputs):
  return 0.2 * presence(inputs)


def targets(inputs):
  classes = inputs['se_logits'].shape[-1]
  return one_hot(inputs['labels'], classes, 255)[0].max((1, 2))


def gradient(function, name):
  """The gradient of a function of the inputs for one of them."""
  return lambda inputs: jax.grad(lambda x: function({**inputs, name: x}))(
      inputs[name]
  )


CASES = {
    'encnet_r50_d8': Case(
        lambda spec: models.create('encnet', spec['num_classes'], dropout=0.0),
        mmseg.RULES,
        {
            **SCORES,
            'backbone_c4_first64': inside('backbone', 'c5', first=64),
            'encoding_project_first32': inside('encoding/project', first=32),
            'encoding_feat': inside('encoding', 1),
        },
        parts=('backbone', *PARTS, 'encoding/project'),
    ),
    'encnet_official': Case(
        lambda spec: models.create(
            'encnet',
            spec['num_classes'],
            backbone='resnet/50_v1s(output_stride=8)',
            lateral=True,
            align_corners=True,
            dropout=0.0,
        ),
        zhanghang1989.RULES,
        {
            **SCORES,
            'encoding': inside('encoding', 1),
            'encmodule_first64': inside('encoding', 0, first=64),
        },
        parts=PARTS,
    ),
    'encnet_se_loss': FunctionCase(
        {
            'presence': targets,
            'bce': presence,
            'loss_se_mmseg': weighted_presence,
            'grad_se_logits_mmseg': gradient(weighted_presence, 'se_logits'),
            'loss_total_official': total,
            'grad_se_logits_official': gradient(total, 'se_logits'),
            'grad_logits_official': gradient(total, 'logits'),
            'grad_aux_official': gradient(total, 'aux_logits'),
        }
    ),
}
