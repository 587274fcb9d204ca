"""PSPNet from mmsegmentation, `pspnet_r50-d8` and others on ResNets.

Their backbones: 'resnet/50_v1c(output_stride=8)' or, of `pspnet_r50b-d8`,
'resnet/50(output_stride=8)'.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet

# What FastFCN has too.
HEAD = (
    *conv_norm(
        r'decode_head\.psp_modules\.(\d)\.1', r'ppm/level\1', 'conv', 'bn'
    ),
    *conv_norm(r'decode_head\.bottleneck', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)

RULES = (*under('backbone', resnet.PLAIN), *HEAD)
