"""ResNet from torchvision, without its classifier: `resnet18` and deeper."""

from segjax.convert.rules import conv_norm

RULES = (
    ('conv1', 'stem/conv'),
    ('bn1', 'stem/norm'),
    *conv_norm(
        r'layer(\d)\.(\d+)', r'stage\1_\2/conv\3', r'conv(\d)', r'bn(\d)'
    ),
    *conv_norm(r'layer(\d)\.(\d+)\.downsample', r'stage\1_\2/shortcut'),
)
