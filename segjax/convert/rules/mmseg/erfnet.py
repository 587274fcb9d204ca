"""ERFNet from mmsegmentation, `erfnet_fcn`."""

from segjax.convert.rules import conv_norm

# Layers of a block there and here.
PARTS = (
    ('0', 'column1'),
    ('2', 'row1'),
    ('3', 'norm1'),
    ('5', 'column2'),
    ('7', 'row2'),
    ('8', 'norm2'),
)
# Stages here, with the numbers of their blocks there.
STAGES = (
    ('encoder', 'stage2', range(2, 7)),
    ('encoder', 'stage3', range(8, 16)),
    ('decoder', 'stage4', range(1, 3)),
    ('decoder', 'stage5', range(4, 6)),
)
SAMPLERS = (
    ('encoder', 0, 'down1'),
    ('encoder', 1, 'down2'),
    ('encoder', 7, 'down3'),
    ('decoder', 0, 'up4'),
    ('decoder', 3, 'up5'),
)

RULES = (
    *(
        rule
        for coder, number, target in SAMPLERS
        for rule in conv_norm(
            rf'backbone\.{coder}\.{number}', target, 'conv', 'bn'
        )
    ),
    *(
        (
            rf'backbone\.{coder}\.{number}\.convs_layers\.{source}',
            f'{stage}_{i}/{part}',
        )
        for coder, stage, numbers in STAGES
        for i, number in enumerate(numbers)
        for source, part in PARTS
    ),
    *conv_norm(r'decode_head\.convs\.0', 'conv', 'conv', 'bn'),
    (r'decode_head\.conv_seg', 'classifier'),
)
