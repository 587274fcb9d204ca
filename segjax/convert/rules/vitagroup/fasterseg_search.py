"""The search of FasterSeg from its authors.

The teacher's ratios have nothing to choose from, and norms that choose among
widths have a scale and a bias of their own there that nothing uses. The norms
of all widths are one here, with a row for each.
"""

import numpy as np

from segjax.convert.joints import Joint
from segjax.convert.rules import conv_norm
from segjax.convert.rules.vitagroup.fasterseg import head

ROLES = ('teacher', 'student')
# In their order there.
OPERATIONS = ('skip', 'conv', 'conv_downup', 'conv_2x', 'conv_2x_downup')
MIXTURES = {'_op': 'keep', 'downsample': 'down'}
LEAVES = {
    'weight': 'scale',
    'bias': 'bias',
    'running_mean': 'mean',
    'running_var': 'var',
}


def divisible(channels):
  """Returns the multiple of 8 that the source takes for a number."""
  rounded = max(1, int(channels + 4) // 8 * 8)
  return rounded + 8 if rounded < 0.9 * channels else rounded


def norms(widths):
  """Yields the joints of the norms of all widths, in twelfths."""
  for variable in LEAVES.values():
    rest = 1.0 if variable in ('scale', 'var') else 0.0

    def read(*rows, rest=rest):
      channels = max(map(len, rows))
      filled = np.full((len(rows), channels), rest, np.float32)
      for row, values in zip(filled, rows, strict=True):
        row[: len(values)] = values
      return (filled,)

    def write(rows):
      return [
          row[: divisible(len(row) * width / 12)]
          for row, width in zip(rows, widths, strict=True)
      ]

    yield Joint(
        r'cells/cell\d+_\d_\w+/\w+/norm\d?',
        tuple(f'width{i}/{variable}' for i in range(len(widths))),
        (variable,),
        read,
        write,
    )


def operations():
  """Yields the rules of all operations of cells."""
  for there, here in MIXTURES.items():
    for i, name in enumerate(OPERATIONS):
      source = rf'cells\.(\d+)\.(\d)\.{there}\._ops\.{i}'
      target = rf'cells/cell\1_\2_{here}/{name}'
      yield rf'{source}\.conv(\d)', rf'{target}/conv\3/conv'
      for leaf, variable in LEAVES.items():
        yield (
            rf'{source}\.bn(\d?)\.bn\.(\d)\.{leaf}',
            rf'{target}/norm\3/width\4/{variable}',
        )
      yield rf'{source}\.bn\d?', None
      yield rf'{source}\.bn\d?\.bn\.\d\.num_batches_tracked', None


def architecture(number, role):
  """Returns the rules of all but the shared cells of an architecture."""
  return (
      (rf'alpha_{number}_(\d)', rf'{role}/alpha\1'),
      (rf'beta_{number}_(\d)', rf'{role}/beta\1'),
      (
          rf'ratio_{number}_(\d)',
          None if role == 'teacher' else rf'{role}/ratio\1',
      ),
      *conv_norm(rf'stem\.{number}\.0\.conv', f'cells/{role}_stem0_conv1'),
      (
          rf'stem\.{number}\.([12])\.conv(\d)',
          rf'cells/{role}_stem\1_conv\2/conv',
      ),
      (rf'stem\.{number}\.([12])\.bn(\d)', rf'cells/{role}_stem\1_conv\2/norm'),
      *(
          rule
          for source, target in (
              (rf'refine32\.{number}\.0', 'arm2_1'),
              (rf'refine32\.{number}\.1', 'refine2_1'),
              (rf'refine32\.{number}\.2', 'arm2_0'),
              (rf'refine32\.{number}\.3', 'refine2_0'),
              (rf'refine16\.{number}\.0', 'arm1_0'),
              (rf'refine16\.{number}\.1', 'refine1_0'),
          )
          for rule in conv_norm(rf'{source}\.conv', f'cells/{role}_{target}')
      ),
      *head(rf'head(\d+)\.{number}', rf'cells/{role}_head\1'),
  )


def rules(widths):
  """Returns the rules of a search among widths, in twelfths."""
  return (
      *operations(),
      *norms(widths),
      *(
          rule
          for number, role in enumerate(ROLES)
          for rule in architecture(number, role)
      ),
  )


RULES = rules((4, 6, 8, 10, 12))
