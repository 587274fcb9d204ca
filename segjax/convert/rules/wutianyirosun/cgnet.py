"""CGNet from its authors, `CGNet.pth` with M=3 and N=21.

Their field is `classifier_bias=False`. They see BGR from 0 to 255, minus the
mean of Cityscapes.
"""

from segjax.convert.rules import under

BLOCK = (
    (r'conv1x1\.conv', 'reduce/conv'),
    (r'conv1x1\.bn', 'reduce/norm'),
    (r'conv1x1\.act', 'reduce/act'),
    (r'F_loc\.conv', 'local'),
    (r'F_sur\.conv', 'surround'),
    (r'(?:bn_prelu\.)?bn', 'join/norm'),
    (r'(?:bn_prelu\.)?act', 'join/act'),
    (r'reduce\.conv', 'project'),
    (r'F_glo\.fc\.0', 'gate/squeeze'),
    (r'F_glo\.fc\.2', 'gate/excite'),
)
# Blocks of the deeper stage after its first, which has a name of its own.
BLOCKS = 20

RULES = (
    *(
        rule
        for i in range(3)
        for rule in (
            (rf'level1_{i}\.conv', f'stem{i + 1}/conv'),
            (rf'level1_{i}\.bn', f'stem{i + 1}/norm'),
            (rf'level1_{i}\.act', f'stem{i + 1}/act'),
        )
    ),
    *(
        rule
        for i, name in enumerate(('b1', 'bn_prelu_2', 'bn_prelu_3'))
        for rule in (
            (rf'{name}\.bn', f'join{i}/norm'),
            (rf'{name}\.act', f'join{i}/act'),
        )
    ),
    *(
        rule
        for stage in (1, 2)
        for rule in (
            *under(rf'level{stage + 1}_0', BLOCK, f'stage{stage}_0'),
            *(
                rule
                for i in range(BLOCKS)
                for rule in under(
                    rf'level{stage + 1}\.{i}', BLOCK, f'stage{stage}_{i + 1}'
                )
            ),
        )
    ),
    (r'classifier\.0\.conv', 'classifier'),
)
