"""PAN from segmentation_models_pytorch: `PAN` on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.smp import parts

PYRAMID = (
    ('branch1.1', 'mean'),
    ('mid.0', 'master'),
    ('down1.1', 'down1'),
    ('down2.1', 'down2'),
    ('down3.1', 'down3'),
    ('conv1', 'level1'),
    ('conv2', 'level2'),
    ('down3.2', 'level3'),
)


def _upsample(number):
  """Returns the rules of an upsampling; there, stride 8 has the number 2."""
  source = rf'decoder\.gau{number}'
  target = f'upsample_c{number + 1}'
  return (
      *conv_norm(rf'{source}\.conv1\.1', f'{target}/gate', 'conv', 'bn'),
      *conv_norm(rf'{source}\.conv2', f'{target}/fine', 'conv', 'bn'),
  )


RULES = (
    *parts.ENDS,
    *(
        rule
        for there, here in PYRAMID
        for rule in conv_norm(
            rf'decoder\.fpa\.{there}', f'pyramid/{here}', 'conv', 'bn'
        )
    ),
    *(rule for number in (1, 2, 3) for rule in _upsample(number)),
)
