"""ResNet from mmsegmentation: v1b ('resnet/50' here), v1c and v1d."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.torchvision import resnet

STEM = (
    *conv_norm('stem', 'stem1', '0', '1'),
    *conv_norm('stem', 'stem2', '3', '4'),
    *conv_norm('stem', 'stem3', '6', '7'),
)
# Of v1b and v1c, which its systems are on.
PLAIN = (*STEM, *resnet.RULES)
# The shortcuts of v1d begin with a pooling.
V1D = (
    *conv_norm(
        r'layer(\d)\.(\d+)\.downsample', r'stage\1_\2/shortcut', '1', '2'
    ),
    *PLAIN,
)

RULES = {
    'resnet': PLAIN,
    **{f'{depth}_v1d': V1D for depth in (18, 34, 50, 101, 152)},
}
