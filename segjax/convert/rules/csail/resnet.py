"""ResNet from CSAIL, here 'resnet/50_v1s' and deeper, inside of a system."""

from segjax.convert.rules.torchvision import resnet

RULES = (
    (r'conv([123])', r'stem\1/conv'),
    (r'bn([123])', r'stem\1/norm'),
    *resnet.STAGES,
)
