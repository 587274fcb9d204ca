"""ESPNet and ESPNet-C from their authors, `espnet_p_2_q_8.pth` and others.

ESPNet-C has the field `decoder=False`. Those for Cityscapes have 20 classes,
the last of which is that of ignored pixels: `--num_classes=20`. They see BGR
from 0 to 255, minus the mean of Cityscapes, over its deviation, and then over
255.
"""

from segjax.convert.rules import under

PYRAMID = (
    (r'c1\.conv', 'reduce'),
    (r'd(\d+)\.conv', r'rate\1'),
    (r'(?:bn\.)?bn', 'join/norm'),
    (r'(?:bn\.)?act', 'join/act'),
)
# Pyramids after the strided one of a stage, at most; the published have 8.
PYRAMIDS = 12

ENCODER = (
    (r'level1\.conv', 'stem/conv'),
    (r'level1\.bn', 'stem/norm'),
    (r'level1\.act', 'stem/act'),
    (r'b(\d)\.bn', r'join\1/norm'),
    (r'b(\d)\.act', r'join\1/act'),
    (r'classifier\.conv', 'classifier'),
    *(
        rule
        for stage in (2, 3)
        for rule in (
            *under(f'level{stage}_0', PYRAMID, f'stage{stage}_0'),
            *(
                rule
                for i in range(PYRAMIDS)
                for rule in under(
                    rf'level{stage}\.{i}', PYRAMID, f'stage{stage}_{i + 1}'
                )
            ),
        )
    ),
)

RULES = (
    *under('encoder', ENCODER),
    *under('', ENCODER, 'encoder'),  # ESPNet-C.
    (r'br', 'norm'),
    (r'up_l3\.0', 'up_middle'),
    (r'level3_C\.conv', 'score_middle'),
    (r'combine_l2_l3\.0\.bn', 'join_middle/norm'),
    (r'combine_l2_l3\.0\.act', 'join_middle/act'),
    *under(r'combine_l2_l3\.1', PYRAMID, 'merge_middle'),
    (r'up_l2\.0', 'up_fine'),
    (r'up_l2\.1\.bn', 'norm_fine/norm'),
    (r'up_l2\.1\.act', 'norm_fine/act'),
    (r'conv\.conv', 'merge_fine/conv'),
    (r'conv\.bn', 'merge_fine/norm'),
    (r'conv\.act', 'merge_fine/act'),
    ('classifier', 'classifier'),
)
