"""DeepLabv3 from torchvision: `deeplabv3_resnet50`, `deeplabv3_resnet101`.

Their fields: `output_stride=8, rates=(12, 24, 36)`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

RULES = (
    *under('backbone', resnet.RULES),
    *conv_norm(r'classifier\.0\.convs\.0', 'aspp/point'),
    *conv_norm(r'classifier\.0\.convs\.([1-3])', r'aspp/atrous\1'),
    *conv_norm(r'classifier\.0\.convs\.4', 'aspp/image', '1', '2'),
    *conv_norm(r'classifier\.0\.project', 'aspp/project'),
    *conv_norm('classifier', 'fuse', '1', '2'),
    (r'classifier\.4', 'classifier'),
    *conv_norm('aux_classifier', 'aux/conv'),
    (r'aux_classifier\.4', 'aux/classifier'),
)
