"""ResNet from msracver, 'resnet/101_msra': `resnet_v1_101`, of ImageNet.

It sees BGR from 0 to 255, minus the mean (123.15, 115.90, 103.06) of RGB. The
classifier is dropped.
"""

PARTS = (
    ('branch2a', 'conv1'),
    ('branch2b', 'conv2'),
    ('branch2c', 'conv3'),
    ('branch1', 'shortcut'),
)
# Names of the blocks of each stage, as Caffe's ResNet-101 has them.
STAGES = (
    ('2a', '2b', '2c'),
    ('3a', *(f'3b{i}' for i in range(1, 4))),
    ('4a', *(f'4b{i}' for i in range(1, 23))),
    ('5a', '5b', '5c'),
)
BLOCKS = {
    block: f'stage{stage}_{i}'
    for stage, blocks in enumerate(STAGES, 1)
    for i, block in enumerate(blocks)
}
LAYERS = (
    ('conv1', 'stem/conv'),
    ('bn_conv1', 'stem/norm'),
    *(
        rule
        for block, target in BLOCKS.items()
        for theirs, ours in PARTS
        for rule in (
            (f'res{block}_{theirs}', f'{target}/{ours}/conv'),
            (f'bn{block}_{theirs}', f'{target}/{ours}/norm'),
        )
    ),
)

RULES = (
    *(  # Of blocks that are deformable.
        (f'res{block}_branch2b_offset', f'{target}/conv2/conv/offset')
        for block, target in BLOCKS.items()
    ),
    *LAYERS,
    (r'fc1(?:000)?', None),
)
