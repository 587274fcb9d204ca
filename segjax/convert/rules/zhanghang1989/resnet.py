"""ResNet from PyTorch-Encoding: `resnet50s`, here 'resnet/50_v1s', etc."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.torchvision import resnet

RULES = (
    *conv_norm('conv1', 'stem1', '0', '1'),
    *conv_norm('conv1', 'stem2', '3', '4'),
    (r'conv1\.6', 'stem3/conv'),
    ('bn1', 'stem3/norm'),
    *resnet.STAGES,
    ('fc', 'classifier'),
)
