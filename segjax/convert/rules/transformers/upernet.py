r"""UPerNet from transformers, `UperNetForSemanticSegmentation`.

On Swin and on ConvNeXt, as openmmlab/upernet-swin-tiny and others publish it.
Swin's tensors have other names in those files than in the library since its
version 5; both are known here.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.transformers import convnext
from segjax.convert.rules.transformers import swin


def _level(number):
  """Returns the rules of a level of the pyramid; there, the finest is 0."""
  lateral = rf'decode_head\.lateral_convs\.{number}'
  output = rf'decode_head\.fpn_convs\.{number}'
  level = f'c{number + 2}'
  return (
      *conv_norm(lateral, f'fpn/lateral_{level}', 'conv', 'batch_norm'),
      *conv_norm(output, f'fpn/output_{level}', 'conv', 'batch_norm'),
  )


HEADS = (
    *conv_norm(
        r'decode_head\.psp_modules\.(\d)\.1',
        r'ppm/level\1',
        'conv',
        'batch_norm',
    ),
    *conv_norm(r'decode_head\.bottleneck', 'top', 'conv', 'batch_norm'),
    *sum(map(_level, range(3)), ()),
    *conv_norm(r'decode_head\.fpn_bottleneck', 'fuse', 'conv', 'batch_norm'),
    (r'decode_head\.classifier', 'classifier'),
    *conv_norm(r'auxiliary_head\.convs\.0', 'aux/conv', 'conv', 'batch_norm'),
    (r'auxiliary_head\.classifier', 'aux/classifier'),
)


SWIN = (*under('backbone', swin.LEVELS), *HEADS)
CONVNEXT = (*under('backbone', convnext.RULES), *HEADS)

RULES = {'swin': SWIN, 'convnext': CONVNEXT}
