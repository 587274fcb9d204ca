"""ResNet from torchvision: `resnet18` and deeper, ResNeXt and Wide ResNet."""

from segjax.convert.rules import conv_norm

# What follows the stem, in mmsegmentation and semseg too.
STAGES = (
    *conv_norm(
        r'layer(\d)\.(\d+)', r'stage\1_\2/conv\3', r'conv(\d)', r'bn(\d)'
    ),
    *conv_norm(r'layer(\d)\.(\d+)\.downsample', r'stage\1_\2/shortcut'),
)

RULES = (
    ('conv1', 'stem/conv'),
    ('bn1', 'stem/norm'),
    *STAGES,
    ('fc', 'classifier'),
)
