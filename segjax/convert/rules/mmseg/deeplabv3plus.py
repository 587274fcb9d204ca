"""DeepLabv3+ from mmsegmentation, `deeplabv3plus_r50-d8` and others.

Their fields: `features=512, project_kernel=3, align_corners=False,
aux_features=256`, on 'resnet/50_v1c(output_stride=8)' `rates=(12, 24, 36)` too.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import deeplabv3
from segjax.convert.rules.mmseg import mobilenet
from segjax.convert.rules.mmseg import resnet


def _separable(source, target):
  """Returns the rules of a `SeparableConvNormAct`."""
  return (
      *conv_norm(rf'{source}\.depthwise_conv', f'{target}/depthwise', *_NAMES),
      *conv_norm(rf'{source}\.pointwise_conv', f'{target}/pointwise', *_NAMES),
  )


_NAMES = ('conv', 'bn')
_HEAD = (
    *deeplabv3.HEAD,
    *_separable(r'decode_head\.aspp_modules\.(\d)', r'aspp/atrous\1'),
    *conv_norm(r'decode_head\.c1_bottleneck', 'low', *_NAMES),
    *_separable(r'decode_head\.sep_bottleneck\.0', 'refine1'),
    *_separable(r'decode_head\.sep_bottleneck\.1', 'refine2'),
)

RULES = {
    'resnet': (*under('backbone', resnet.PLAIN), *_HEAD),
    'mobilenet': (*under('backbone', mobilenet.RULES), *_HEAD),
}
