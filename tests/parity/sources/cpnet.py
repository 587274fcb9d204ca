"""CPNet of ycszen/ContextPrior, and its affinity loss."""

import jax

from segjax import models
from segjax.convert.rules.ycszen import cpnet as ycszen
from segjax.models import cpnet
from tests.parity import reference
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import inside

MAP = (5, 7)  # (height, width) of the map in the fixture of the loss.


def prior_map(out, parts):
  del parts
  prior = jax.nn.sigmoid(out['prior'])
  return prior.reshape(len(prior), -1, prior.shape[-1])


def affinity_loss(out, parts):
  """The loss for labels on the grid of the map, which the fixture draws."""
  shape = out['prior'].shape[:3]
  rng = reference.generator('affinity:labels')
  labels = rng.integers(0, out['logits'].shape[-1], shape)
  labels[rng.random(shape) < 0.05] = 255
  return total(prior_map(out, parts), cpnet.ideal_affinity(labels, shape[1:]))


def total(prior, ideal):
  return sum(cpnet.affinity_terms(prior, ideal).values())


def ideal(inputs):
  return cpnet.ideal_affinity(inputs['labels'], MAP)


def loss_of_map(inputs):
  return total(inputs['prior_map'], ideal(inputs))


def loss_of_logits(inputs):
  return total(jax.nn.sigmoid(inputs['prior_logits']), ideal(inputs))


def term(name):
  return lambda inputs: cpnet.affinity_terms(
      inputs['prior_map'], ideal(inputs)
  )[name]


def gradient(function, name):
  """The gradient of a function of the inputs for one of them."""
  return lambda inputs: jax.grad(lambda x: function({**inputs, name: x}))(
      inputs[name]
  )


CASES = {
    'cpnet': Case(
        lambda spec: models.create(
            'cpnet',
            spec['num_classes'],
            sides=tuple(spec['input']['shape'][1:3]),
            dropout=0.0,
        ),
        ycszen.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux'),
            'prior_map': prior_map,
            'aggregation_first64': inside('aggregation', first=64),
            'affinity_loss': affinity_loss,
        },
        parts=('aggregation', 'classifier', 'aux'),
    ),
    'cpnet_affinity_loss': FunctionCase(
        {
            'ideal_affinity': lambda inputs: ideal(inputs).astype('int32'),
            'loss': loss_of_map,
            'grad_prior_map': gradient(loss_of_map, 'prior_map'),
            'loss_of_logits': loss_of_logits,
            'grad_prior_logits': gradient(loss_of_logits, 'prior_logits'),
            **{
                f'loss_{name}': term(name)
                for name in ('unary', 'recall', 'specificity', 'precision')
            },
        }
    ),
}
