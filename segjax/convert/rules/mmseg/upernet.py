"""UPerNet from mmsegmentation, on ResNets, Swin and ConvNeXt."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import convnext
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet
from segjax.convert.rules.mmseg import swin


def _level(number):
  """Returns the rules of a level of the pyramid; there, the finest is 0."""
  lateral = rf'decode_head\.lateral_convs\.{number}'
  output = rf'decode_head\.fpn_convs\.{number}'
  level = f'c{number + 2}'
  return (
      *conv_norm(lateral, f'fpn/lateral_{level}', 'conv', 'bn'),
      *conv_norm(output, f'fpn/output_{level}', 'conv', 'bn'),
  )


HEADS = (
    *conv_norm(
        r'decode_head\.psp_modules\.(\d)\.1', r'ppm/level\1', 'conv', 'bn'
    ),
    *conv_norm(r'decode_head\.bottleneck', 'top', 'conv', 'bn'),
    *sum(map(_level, range(3)), ()),
    *conv_norm(r'decode_head\.fpn_bottleneck', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)

RULES = {
    name: (*under('backbone', rules), *HEADS)
    for name, rules in (
        ('resnet', resnet.PLAIN),
        ('swin', swin.RULES),
        ('convnext', convnext.RULES),
    )
}
