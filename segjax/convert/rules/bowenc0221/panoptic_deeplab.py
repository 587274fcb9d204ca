"""Panoptic-DeepLab from bowenc0221, on a ResNet: `PanopticDeepLab`.

The fields are the defaults; `panoptic_deeplab_R50_os32_cityscapes` is on
'resnet/50'.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet


def _separable(source, target):
  """Returns the rules of a `SeparableConvNormAct`."""
  return (
      *conv_norm(rf'{source}\.0', f'{target}/depthwise'),
      *conv_norm(source, f'{target}/pointwise', '1', '2'),
  )


def _decoder(source, target):
  """Returns the rules of a `Decoder`."""
  aspp = rf'{source}\.aspp'
  rules = (
      *conv_norm(rf'{aspp}\.convs\.0', f'{target}/aspp/point'),
      *conv_norm(rf'{aspp}\.convs\.([1-3])', rf'{target}/aspp/atrous\1'),
      (rf'{aspp}\.convs\.4\.aspp_pooling\.1', f'{target}/aspp/image/conv'),
      *conv_norm(rf'{aspp}\.project', f'{target}/aspp/project'),
  )
  for i, level in enumerate(('c4', 'c3', 'c2')):
    rules += conv_norm(rf'{source}\.project\.{i}', f'{target}/low_{level}')
    rules += _separable(rf'{source}\.fuse\.{i}\.0', f'{target}/fuse_{level}')
  return rules


_SEMANTIC = r'decoder\.semantic_head\.classifier\.semantic'
_INSTANCE = r'decoder\.instance_head\.classifier'

RULES = (
    *under('backbone', resnet.RULES),
    *_decoder(r'decoder\.semantic_decoder', 'semantic'),
    *_separable(rf'{_SEMANTIC}\.0\.0', 'semantic_head'),
    (rf'{_SEMANTIC}\.1', 'classifier'),
    *_decoder(r'decoder\.instance_decoder', 'instance'),
    *_separable(rf'{_INSTANCE}\.center\.0\.0', 'center_head'),
    *_separable(rf'{_INSTANCE}\.offset\.0\.0', 'offset_head'),
    (rf'{_INSTANCE}\.(center|offset)\.1', r'\1'),
)
