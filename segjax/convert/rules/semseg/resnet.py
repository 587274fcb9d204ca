"""ResNet from semseg, here 'resnet/50_v1s' and deeper, inside of a system."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.torchvision import resnet

RULES = (
    *conv_norm('layer0', 'stem1', '0', '1'),
    *conv_norm('layer0', 'stem2', '3', '4'),
    *conv_norm('layer0', 'stem3', '6', '7'),
    *resnet.STAGES,
)
