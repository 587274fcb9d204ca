"""Xception from TensorFlow's DeepLab: `xception_41`, `_65` and `_71`."""

from segjax.convert.rules.tf import TRAINING
from segjax.convert.rules.tf import conv_norm
from segjax.convert.rules.tf import separable


def _blocks(scope, entry, middle):
  """Returns the rules of an Xception.

  Args:
    scope: its name there.
    entry: number of blocks of the entry flow.
    middle: number of blocks of the middle flow.
  """
  blocks = [f'entry_flow/block{i + 1}/unit_1' for i in range(entry)]
  blocks += [f'middle_flow/block1/unit_{i + 1}' for i in range(middle)]
  blocks += ['exit_flow/block1/unit_1', 'exit_flow/block2/unit_1']
  rules = ()
  for i, block in enumerate(blocks):
    module = f'{scope}/{block}/xception_module'
    rules += separable(
        rf'{module}/separable_conv(\d)', rf'block{i}/separable\1'
    )
    rules += conv_norm(f'{module}/shortcut', f'block{i}/shortcut')
  return rules


RULES = (
    *TRAINING,
    *conv_norm(r'xception_\d+/entry_flow/conv1_(\d)', r'stem\1'),
    *_blocks('xception_41', entry=3, middle=8),
    *_blocks('xception_65', entry=3, middle=16),
    *_blocks('xception_71', entry=5, middle=16),
)
