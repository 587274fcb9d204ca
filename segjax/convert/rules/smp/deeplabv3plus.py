"""DeepLabv3+ from segmentation_models_pytorch: `DeepLabV3Plus` on ResNets.

Its fields: `rates=(12, 24, 36), between=False, image_first=False,
aspp_refine=True, refinements=1, dropout=(0.5, 0.0, 0.0)` on
'resnet/34(output_stride=16, dilate_first=True)'.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.smp import parts


def _separable(source, norm, target):
  """Returns the rules of a `SeparableConvNormAct`; `source` holds the convs."""
  return (
      (rf'{source}\.0', f'{target}/depthwise/conv'),
      (rf'{source}\.1', f'{target}/pointwise/conv'),
      (norm, f'{target}/pointwise/norm'),
  )


_CONVS = r'decoder\.aspp\.0\.convs'
RULES = (
    *parts.ENDS,
    *conv_norm(rf'{_CONVS}\.0', 'aspp/point'),
    *(
        rule
        for i in (1, 2, 3)
        for rule in _separable(
            rf'{_CONVS}\.{i}\.0', rf'{_CONVS}\.{i}\.1', f'aspp/atrous{i}'
        )
    ),
    *conv_norm(rf'{_CONVS}\.4', 'aspp/image', '1', '2'),
    *conv_norm(r'decoder\.aspp\.0\.project', 'aspp/project'),
    *_separable(r'decoder\.aspp\.1', r'decoder\.aspp\.2', 'aspp_refine'),
    *conv_norm(r'decoder\.block1', 'low'),
    *_separable(r'decoder\.block2\.0', r'decoder\.block2\.1', 'refine1'),
)
