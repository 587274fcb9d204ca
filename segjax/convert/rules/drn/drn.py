"""DRN: files of `drn.py` (ImageNet), and of `segment.py` (segmentation)."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under


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

# `segment.py` numbers the children of the backbone, and a number stands for
# one level in DRN-C, for another in DRN-D.
_HEAD = (('seg', 'classifier'), ('up', 'upsample'))
SEGMENTATION = {
    'c': (
        *under('base', (('0', 'stem/conv'), ('1', 'stem/norm')), 'backbone'),
        *under('base', levels(lambda n: n + 2), 'backbone'),
        *_HEAD,
    ),
    'd': (
        *under('base', conv_norm('0', 'stem'), 'backbone'),
        *under('base', levels(lambda n: n), 'backbone'),
        *_HEAD,
    ),
}
