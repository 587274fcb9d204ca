"""U-Net from mmsegmentation, `fcn_unet_s5-d16` and others, with its FCN head.

The other heads that it puts on this backbone are other systems.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.mmseg import heads


def _convs(source, target):
  """Returns the rules of a `DoubleConv`."""
  return tuple(
      rule
      for i in (1, 2)
      for rule in conv_norm(
          rf'{source}\.convs\.{i - 1}', f'{target}/conv{i}', 'conv', 'bn'
      )
  )


RULES = (
    *_convs(r'backbone\.encoder\.(\d)\.[01]', r'down\1'),
    *_convs(r'backbone\.decoder\.(\d)\.conv_block', r'up\1/convs'),
    *conv_norm(
        r'backbone\.decoder\.(\d)\.upsample\.interp_upsample\.1',
        r'up\1/up',
        'conv',
        'bn',
    ),
    *conv_norm(r'decode_head\.convs\.0', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)
