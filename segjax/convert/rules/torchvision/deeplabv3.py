"""DeepLabv3 from torchvision: `deeplabv3_resnet50` and others.

Fields of those on ResNets: `backbone='resnet/50(output_stride=8)',
rates=(12, 24, 36)`; of `deeplabv3_mobilenet_v3_large`:
`backbone='mobilenet/v3_large(output_stride=16)', rates=(12, 24, 36),
aux_level='c3_first'`. Their modules have no name in common, so the rules of
both backbones are here.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import mobilenet
from segjax.convert.rules.torchvision import resnet

RULES = (
    *under('backbone', resnet.RULES),
    *under('backbone', mobilenet.RULES),
    *conv_norm(r'classifier\.0\.convs\.0', 'aspp/point'),
    *conv_norm(r'classifier\.0\.convs\.([1-3])', r'aspp/atrous\1'),
    *conv_norm(r'classifier\.0\.convs\.4', 'aspp/image', '1', '2'),
    *conv_norm(r'classifier\.0\.project', 'aspp/project'),
    *conv_norm('classifier', 'fuse', '1', '2'),
    (r'classifier\.4', 'classifier'),
    *conv_norm('aux_classifier', 'aux/conv'),
    (r'aux_classifier\.4', 'aux/classifier'),
)
