"""FCN from mmsegmentation, `fcn_r50-d8` and others on ResNets.

Their fields: `backbone='resnet/50_v1c(output_stride=8)', head_convs=2,
head_concat=True`; of `fcn-d6_r50-d16`, at output stride 16, `head_dilation=6`
too.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet

RULES = (
    *under('backbone', resnet.PLAIN),
    *conv_norm(r'decode_head\.convs\.0', 'conv1', 'conv', 'bn'),
    *conv_norm(r'decode_head\.convs\.1', 'conv2', 'conv', 'bn'),
    *conv_norm(r'decode_head\.conv_cat', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)
