"""Semantic FPN from segmentation_models_pytorch: `FPN` on ResNets.

Its fields: `smooth=False, group_norm=True, dropout=0.2, drop_channels=True,
align_corners=True`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.smp import parts

RULES = (
    *parts.ENDS,
    (r'decoder\.p5', 'fpn/lateral_c5/conv'),
    (r'decoder\.p(\d)\.skip_conv', r'fpn/lateral_c\1/conv'),
    # Branches there go from stride 32 to stride 4.
    *(
        rule
        for branch in range(4)
        for i in range(3)
        for rule in conv_norm(
            rf'decoder\.seg_blocks\.{branch}\.block\.{i}\.block',
            f'c{5 - branch}_conv{i + 1}',
        )
    ),
)
