"""Panoptic-DeepLab from detectron2, for its DSConv configs.

Fields: `backbone='resnet/50_v1s(output_stride=16, multi_grid=(1, 2, 4))',
rates=(6, 12, 18), separable=True, pool_bias=True, levels=('c3', 'c2'),
low_features=(64, 32), instance_low_features=(64, 32), low_first=True,
separable_center=False, align_corners=False, dropout=0.1`. Its ASPP averages a
window as large as the training crop, ours the image: the same for images of
that size.
"""

from segjax.convert.rules import under
from segjax.convert.rules.detectron2 import conv_norm
from segjax.convert.rules.detectron2 import resnet


def _separable(source, target):
  """Returns the rules of a `SeparableConvNormAct`."""
  return (
      *conv_norm(rf'{source}\.depthwise', f'{target}/depthwise'),
      *conv_norm(rf'{source}\.pointwise', f'{target}/pointwise'),
  )


def _decoder(source, target):
  """Returns the rules of a `Decoder`."""
  aspp = rf'{source}\.res5\.project_conv'
  rules = (
      *conv_norm(rf'{aspp}\.convs\.0', f'{target}/aspp/point'),
      *_separable(rf'{aspp}\.convs\.([1-3])', rf'{target}/aspp/atrous\1'),
      (rf'{aspp}\.convs\.4\.1', f'{target}/aspp/image/conv'),
      *conv_norm(rf'{aspp}\.project', f'{target}/aspp/project'),
  )
  for there, here in (('res3', 'c3'), ('res2', 'c2')):
    rules += conv_norm(
        rf'{source}\.{there}\.project_conv', f'{target}/low_{here}'
    )
    rules += _separable(
        rf'{source}\.{there}\.fuse_conv', f'{target}/fuse_{here}'
    )
  return rules


RULES = (
    *under('backbone', resnet.RULES),
    *_decoder(r'sem_seg_head\.decoder', 'semantic'),
    *_separable(r'sem_seg_head\.head', 'semantic_head'),
    (r'sem_seg_head\.predictor', 'classifier'),
    *_decoder(r'ins_embed_head\.decoder', 'instance'),
    *conv_norm(r'ins_embed_head\.center_head\.0', 'center_head1'),
    *conv_norm(r'ins_embed_head\.center_head\.1', 'center_head2'),
    *_separable(r'ins_embed_head\.offset_head', 'offset_head'),
    (r'ins_embed_head\.(center|offset)_predictor', r'\1'),
)
