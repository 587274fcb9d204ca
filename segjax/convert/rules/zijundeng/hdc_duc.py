"""HDC and DUC from zijundeng, `ResNetDUCHDC` on ResNet-152.

Its fields: `rates=(1,), cell_width=1, norm_scores=True` on 'resnet/152(
output_stride=8, dilations=(1, 1, (1, 2, 5, 9), (5, 9, 17)))'.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

RULES = (
    *conv_norm('layer0', 'backbone/stem'),
    *under('', resnet.STAGES, 'backbone'),
    (r'duc\.conv', 'duc/atrous0'),
    (r'duc\.bn', 'norm'),
)
