"""ENet from pytorch-segmentation."""

# Blocks there, and here.
BLOCKS = (
    ('10', 'down1'),
    *((f'1{i + 1}', f'stage1_{i}') for i in range(4)),
    ('20', 'down2'),
    *((f'{s}{i + 1}', f'stage{s}_{i}') for s in (2, 3) for i in range(8)),
    ('40', 'up1'),
    *((f'4{i + 1}', f'decoder1_{i}') for i in range(2)),
    ('50', 'up2'),
    ('51', 'decoder2_0'),
)
PARTS = (
    (r'conv([123])', r'conv\1'),
    (r'bn([123])', r'norm\1'),
    (r'prelu([123])', r'act\1'),
    (r'conv2\.0', 'row'),
    (r'conv2\.1', 'norm_row'),
    (r'conv2\.2', 'act_row'),
    (r'conv2\.3', 'column'),
    ('spatil_conv', 'shortcut'),
    ('bn_up', 'norm_shortcut'),
    ('prelu_out', 'act'),
)

RULES = (
    (r'initial\.conv', 'initial/conv'),
    (r'initial\.bn', 'initial/norm'),
    (r'initial\.prelu', 'initial/act'),
    *(
        (rf'bottleneck{number}\.{source}', rf'{block}/{target}')
        for number, block in BLOCKS
        for source, target in PARTS
    ),
    ('fullconv', 'classifier'),
)
