"""DeepLabv3 from mmsegmentation, `deeplabv3_r50-d8` and others.

Their fields: `features=512, image_first=True, project_kernel=3, fuse=False`, on
'resnet/50_v1c(output_stride=8)' `rates=(12, 24, 36)` too.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet

# What FastFCN has too.
POINTWISE = (
    *conv_norm(r'decode_head\.image_pool\.1', 'aspp/image', 'conv', 'bn'),
    *conv_norm(r'decode_head\.aspp_modules\.0', 'aspp/point', 'conv', 'bn'),
)
ATROUS = conv_norm(
    r'decode_head\.aspp_modules\.(\d)', r'aspp/atrous\1', 'conv', 'bn'
)
# What DeepLabv3+ has too.
HEAD = (
    *POINTWISE,
    *conv_norm(r'decode_head\.bottleneck', 'aspp/project', 'conv', 'bn'),
    *heads.RULES,
)

RULES = (*under('backbone', resnet.PLAIN), *HEAD, *ATROUS)
