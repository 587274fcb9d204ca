"""DUpsampling from LinZhuoChen, `DUNet` on ResNet-50.

The map from patches to codes, which serves to fit the other, is dropped.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

RULES = (
    *under(r'encoder\.model', resnet.RULES, 'backbone'),
    *conv_norm('decoder', 'low', 'conv1', 'bn1'),
    *conv_norm('decoder', 'fuse1', 'conv2', 'bn2'),
    *conv_norm('decoder', 'fuse2', 'conv3', 'bn3'),
    (r'decoder\.conv4', 'encode'),
    (r'decoder\.dupsample\.conv_w', 'expand'),
    (r'decoder\.dupsample\.conv_p', None),
    (r'decoder\.T', 'temperature'),
)
