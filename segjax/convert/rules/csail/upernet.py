"""UPerNet from its authors, for semantic segmentation alone.

Its fields: `backbone='resnet/50_v1s', enlarge_first=True, dropout=0.0,
aux_level=''`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.csail import resnet


def _level(number):
  """Returns the rules of a level of the pyramid; there, the finest is 0."""
  level = f'c{number + 2}'
  return (
      *conv_norm(rf'decoder\.fpn_in\.{number}', f'fpn/lateral_{level}'),
      *conv_norm(rf'decoder\.fpn_out\.{number}\.0', f'fpn/output_{level}'),
  )


RULES = (
    *under('encoder', resnet.RULES, 'backbone'),
    *conv_norm(r'decoder\.ppm_conv\.(\d)', r'ppm/level\1'),
    *conv_norm(r'decoder\.ppm_last_conv', 'top'),
    *sum(map(_level, range(3)), ()),
    *conv_norm(r'decoder\.conv_last\.0', 'fuse'),
    (r'decoder\.conv_last\.1', 'classifier'),
)
