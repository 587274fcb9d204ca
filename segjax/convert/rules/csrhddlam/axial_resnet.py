"""Axial-ResNet from its authors: `axial26s`, `axial50s`, `axial50m` and so on.

The names of the backbones here are 'axial_resnet/26_s' and the like.
"""

from segjax.convert.rules import csrhddlam

RULES = (
    ('conv1', 'stem1/conv'),
    ('bn1', 'stem1/norm'),
    *(
        rule
        for stage in range(1, 5)
        for rule in csrhddlam.block(
            rf'layer{stage}\.(\d+)', rf'stage{stage + 1}_\1'
        )
    ),
    ('fc', 'classifier'),
    *csrhddlam.JOINTS,
)
