"""RefineNet from refinenet-pytorch, `rf101`.

Names there are those of the authors' MATLAB code, and levels are numbered from
the coarsest.
"""

from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

LEVELS = ('c5', 'c4', 'c3', 'c2')


def pooling(source, target):
  """Returns the rules of a `ChainedResidualPooling`."""
  return ((rf'{source}\.0\.(\d)_outvar_dimred', rf'{target}/conv\1'),)


def units(source, target):
  """Returns the rules of `ResidualConvUnits`."""
  return (
      (rf'{source}\.0\.(\d)_conv', rf'{target}/unit\1_conv1'),
      (
          rf'{source}\.0\.(\d)_conv_relu_varout_dimred',
          rf'{target}/unit\1_conv2',
      ),
  )


def _block(number, level):
  target = f'refine_{level}'
  return (
      (f'p_ims1d2_outl{number}_dimred', f'{target}/reduce'),
      *units(f'adapt_stage{number}_b', f'{target}/adapt'),
      (f'adapt_stage{number}_b2_joint_varout_dimred', f'{target}/skip'),
      *pooling(f'mflow_conv_g{number}_pool', f'{target}/pool'),
      *units(f'mflow_conv_g{number}_b', f'{target}/output'),
  )


RULES = (
    *under('', resnet.RULES, 'backbone'),
    *(
        rule
        for number, level in enumerate(LEVELS, 1)
        for rule in _block(number, level)
    ),
    *(
        (f'mflow_conv_g{number}_b3_joint_varout_dimred', f'narrow_{level}')
        for number, level in enumerate(LEVELS[1:], 1)
    ),
    ('clf_conv', 'classifier'),
)
