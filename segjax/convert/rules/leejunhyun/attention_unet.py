"""Attention U-Net from Image_Segmentation: `AttU_Net`."""

from segjax.convert.rules import conv_norm


def _double(source, target):
  """Returns the rules of a `DoubleConv`."""
  return (
      *conv_norm(rf'{source}\.conv', f'{target}/conv1'),
      *conv_norm(rf'{source}\.conv', f'{target}/conv2', '3', '4'),
  )


def _up(level):
  """Returns the rules of what leads to a level; there, the finest is 2."""
  number = level + 2
  return (
      *conv_norm(rf'Up{number}\.up', f'enlarge{level}', '1', '2'),
      *conv_norm(rf'Att{number}\.W_g', f'gate{level}/gating'),
      *conv_norm(rf'Att{number}\.W_x', f'gate{level}/skip'),
      *conv_norm(rf'Att{number}\.psi', f'gate{level}/weights'),
      *_double(f'Up_conv{number}', f'up{level}'),
  )


RULES = (
    *(rule for i in range(5) for rule in _double(f'Conv{i + 1}', f'down{i}')),
    *(rule for level in range(4) for rule in _up(level)),
    ('Conv_1x1', 'classifier'),
)
