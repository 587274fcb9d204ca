"""DRN for ImageNet: files of `drn.py`."""

from segjax.convert.rules import conv_norm


def level(number, source):
  """Returns the rules of a level whose name in the source is `source`.

  Levels 1, 2, 7 and 8 are residual blocks in DRN-C, convolutions in DRN-D.
  """
  target, block = f'level{number}', (r'conv(\d)', r'bn(\d)')
  if number < 7:
    return (
        *conv_norm(source, rf'{target}_0'),
        *conv_norm(rf'{source}\.(\d+)', rf'{target}_\1/conv\2', *block),
        *conv_norm(rf'{source}\.(\d+)\.downsample', rf'{target}_\1/shortcut'),
    )
  return (
      *conv_norm(source, f'{target}_conv1'),
      *conv_norm(rf'{source}\.0', rf'{target}_conv\1', *block),
  )


def levels(source):
  """Returns the rules of all levels; level 1 is called `source(1)`."""
  return sum((level(n, source(n)) for n in range(1, 9)), ())


RULES = (
    ('conv1', 'stem/conv'),
    ('bn1', 'stem/norm'),
    *conv_norm('layer0', 'stem'),
    *levels(lambda n: f'layer{n}'),
    ('fc', 'classifier'),
)
