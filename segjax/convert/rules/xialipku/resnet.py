"""ResNet from EMANet's author, 'resnet/101_v1s' here, inside of a system."""

from segjax.convert.rules import conv_norm


def _stage(number):
  """Returns the rules of a stage, which is a number in a sequence there."""
  source, target = rf'{number + 3}\.(\d+)', rf'stage{number}_\1'
  return (
      *conv_norm(source, rf'{target}/conv\2', r'conv(\d)', r'bn(\d)'),
      *conv_norm(rf'{source}\.downsample', f'{target}/shortcut'),
  )


RULES = (
    *conv_norm('0', 'stem1', '0', '1'),
    *conv_norm('0', 'stem2', '3', '4'),
    (r'0\.6', 'stem3/conv'),
    ('1', 'stem3/norm'),
    *sum(map(_stage, range(1, 5)), ()),
)
