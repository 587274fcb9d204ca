"""LR-ASPP from torchvision: `lraspp_mobilenet_v3_large`."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import mobilenet

RULES = (
    *under('backbone', mobilenet.RULES),
    *conv_norm(r'classifier\.cbr', 'project'),
    (r'classifier\.scale\.1', 'gate'),
    (r'classifier\.(low|high)_classifier', r'\1_classifier'),
)
