"""FCN from torchvision: `fcn_resnet50`, `fcn_resnet101`.

Their fields: `backbone='resnet/50(output_stride=8)', head_convs=1,
head_concat=False`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

RULES = (
    *under('backbone', resnet.RULES),
    *conv_norm('classifier', 'conv1'),
    (r'classifier\.4', 'classifier'),
    *conv_norm('aux_classifier', 'aux/conv'),
    (r'aux_classifier\.4', 'aux/classifier'),
)
