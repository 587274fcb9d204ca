"""FRRN, a PyTorch copy of TobyPDE/FRRN.

The original's weights are a list of arrays, so that these names are the copy's
own, and their rules are here.
"""

from segjax import models
from segjax.convert.rules import conv_norm
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def stage(source, target):
  """The rules of the units of all stages of one kind."""
  units, place = rf'{source}\.(\d+)\.(\d+)', rf'{target}\1_\2'
  return (
      (rf'{units}\.conv([12])\.conv', rf'{place}/conv\3/conv'),
      (rf'{units}\.conv([12])\.bn', rf'{place}/conv\3/norm'),
      (rf'{units}\.res\.conv', f'{place}/residual'),
  )


def residual(source, target):
  """The rules of residual units."""
  return (
      (rf'{source}\.(\d+)\.conv([12])\.conv', rf'{target}\1/conv\2/conv'),
      (rf'{source}\.(\d+)\.conv([12])\.bn', rf'{target}\1/conv\2/norm'),
      (rf'{source}\.(\d+)\.proj\.conv', rf'{target}\1/shortcut'),
  )


RULES = (
    *conv_norm('stem', 'stem', 'conv', 'bn'),
    *residual('ru_in', 'start'),
    *conv_norm('split', 'split', 'conv', 'bn'),
    *stage('enc', 'down'),
    *stage('dec', 'up'),
    *residual('ru_out', 'end'),
    ('classifier', 'classifier'),
)

CASES = {
    'frrn_a': Case(
        lambda spec: models.create('frrn', spec['num_classes']),
        RULES,
        {
            'logits': returned('logits'),
            'pool_stream_s16': inside('down3_1', 0),
        },
        parts=('down3_1',),
    ),
}
