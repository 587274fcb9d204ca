"""UPerNet from segmentation_models_pytorch: `UPerNet` on ResNets.

Its fields: `features=256, norm_levels=True, dropout=0.0, align_corners=True,
aux_level=''`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.smp import parts


def _level(i):
  """Returns the rules of a level of the pyramid; there, stride 16 is 0."""
  lateral = rf'decoder\.fpn_lateral_blocks\.{i}\.conv_norm_relu'
  output = rf'decoder\.fpn_conv_blocks\.{i}'
  return (
      *conv_norm(lateral, f'fpn/lateral_c{4 - i}'),
      *conv_norm(output, f'fpn/output_c{4 - i}'),
  )


RULES = (
    *parts.ENDS,
    *((rf'decoder\.feature_norms\.{i}', f'norm_c{i + 2}') for i in range(4)),
    *conv_norm(r'decoder\.psp\.blocks\.(\d)\.1', r'ppm/level\1'),
    *conv_norm(r'decoder\.psp\.out_conv', 'top'),
    *(rule for i in range(3) for rule in _level(i)),
    *conv_norm(r'decoder\.fusion_block', 'fuse'),
)
