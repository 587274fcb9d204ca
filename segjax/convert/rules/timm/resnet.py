"""ResNet from timm: `resnet18` and deeper, and `resnet50d`, v1d here.

The former has torchvision's names.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.torchvision import resnet

V1D = (
    *conv_norm('conv1', 'stem1', '0', '1'),
    *conv_norm('conv1', 'stem2', '3', '4'),
    (r'conv1\.6', 'stem3/conv'),
    ('bn1', 'stem3/norm'),
    # The shortcuts begin with a pooling.
    *conv_norm(
        r'layer(\d)\.(\d+)\.downsample', r'stage\1_\2/shortcut', '1', '2'
    ),
    *resnet.STAGES,
    ('fc', 'classifier'),
)

RULES = {
    'resnet': resnet.RULES,
    **{f'{depth}_v1d': V1D for depth in (18, 34, 50, 101, 152)},
}
