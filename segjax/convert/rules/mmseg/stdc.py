"""STDC-Seg from mmsegmentation, `stdc1` and `stdc2`."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads

# The first stages are single convolutions.
BACKBONE = (
    *conv_norm(r'stages\.0', 'stem1', 'conv', 'bn'),
    *conv_norm(r'stages\.1', 'stem2', 'conv', 'bn'),
    *(
        rule
        for stage in range(2, 5)
        for i in range(4)
        for rule in conv_norm(
            rf'stages\.{stage}\.(\d)\.layers\.{i}',
            rf'stage{stage + 1}_\1/conv{i + 1}',
            'conv',
            'bn',
        )
    ),
    *(
        rule
        for stage in range(2, 5)
        for rule in conv_norm(
            rf'stages\.{stage}\.0\.downsample',
            f'stage{stage + 1}_0/depthwise',
            'conv',
            'bn',
        )
    ),
)
CONTEXT = (
    *heads.refinement(r'arms\.0', 'refine_c5'),
    *heads.refinement(r'arms\.1', 'refine_c4'),
    *conv_norm(r'convs\.0', 'conv_c4', 'conv', 'bn'),
    *conv_norm(r'convs\.1', 'conv_c3', 'conv', 'bn'),
    *conv_norm('conv_avg', 'mean', 'conv', 'bn'),
)

RULES = (
    *under(r'backbone\.backbone', BACKBONE, 'backbone'),
    *under('backbone', CONTEXT, 'context'),
    *conv_norm(r'backbone\.ffm\.conv0', 'fusion/conv', 'conv', 'bn'),
    (r'backbone\.ffm\.attention\.([12])\.conv', r'fusion/gate\1'),
    *conv_norm(r'decode_head\.convs\.0', 'conv', 'conv', 'bn'),
    (r'decode_head\.conv_seg', 'classifier'),
    # The first one reads the finer level.
    *heads.head(r'auxiliary_head\.0', 'aux_c3'),
    *heads.head(r'auxiliary_head\.1', 'aux_c4'),
    *heads.head(r'auxiliary_head\.2', 'detail'),
    # Constants of the loss.
    (r'auxiliary_head\.2\.(fusion|laplacian)_kernel', None),
)
