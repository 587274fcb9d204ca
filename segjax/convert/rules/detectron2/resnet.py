"""ResNet from detectron2, inside of a system.

Its ResNet-52 of the DeepLab project is 'resnet/50_v1s' here. Stage 'res2' is
our first.
"""

from segjax.convert.rules.detectron2 import conv_norm

RULES = (
    *conv_norm(r'stem\.conv(\d)', r'stem\1'),
    *(
        rule
        for stage in range(1, 5)
        for rule in conv_norm(
            rf'res{stage + 1}\.(\d+)\.(conv\d|shortcut)', rf'stage{stage}_\1/\2'
        )
    ),
)
