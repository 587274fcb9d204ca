"""The search of FasterSeg from its authors.

The teacher's ratios have nothing to choose from, and norms that choose among
widths have a scale and a bias of their own there that nothing uses.
"""

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
            rf'{target}/norm\3/{variable}\4',
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


RULES = (
    *operations(),
    *(
        rule
        for number, role in enumerate(ROLES)
        for rule in architecture(number, role)
    ),
)
