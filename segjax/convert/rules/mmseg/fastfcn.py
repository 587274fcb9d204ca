"""FastFCN from mmsegmentation, `fastfcn_r50-d32_jpu_psp` and others.

The name says the field `head`: `head='psp'`, 'aspp' or 'enc'. Their backbone is
'resnet/50_v1c(dilations=(1, 1, 2, 4))'.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import deeplabv3
from segjax.convert.rules.mmseg import encnet
from segjax.convert.rules.mmseg import pspnet
from segjax.convert.rules.mmseg import resnet

DILATED = r'neck\.dilation_layers\.(\d)\.0'

RULES = (
    *under('backbone', resnet.PLAIN),
    *conv_norm(r'neck\.conv_layers\.(\d)\.0', r'jpu/level\1', 'conv', 'bn'),
    *conv_norm(
        rf'{DILATED}\.depthwise_conv', r'jpu/dilated\1/depthwise', 'conv', 'bn'
    ),
    *conv_norm(
        rf'{DILATED}\.pointwise_conv', r'jpu/dilated\1/pointwise', 'conv', 'bn'
    ),
    *pspnet.HEAD,
    *deeplabv3.POINTWISE,
    *deeplabv3.ATROUS,
    *encnet.CONTEXT,
)
