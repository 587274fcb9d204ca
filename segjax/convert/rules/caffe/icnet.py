"""ICNet from its authors, `icnet_cityscapes_bnnomerge.prototxt`.

Fields: `authors=True, guides=False` and the backbone
'resnet/50_icnet(output_stride=8)'. The norm after a layer NAME is `NAME/bn`,
with a weight, a bias and statistics as PyTorch has them.
"""

DEPTHS = (3, 4, 6, 3)  # Blocks of each stage.
# Layers of a block, there and here.
LAYERS = (
    ('1x1_reduce', 'conv1'),
    ('3x3', 'conv2'),
    ('1x1_increase', 'conv3'),
    ('1x1_proj', 'shortcut'),
)
NAMES = (
    ('conv1_1_3x3_s2', 'backbone/stem1'),
    ('conv1_2_3x3', 'backbone/stem2'),
    ('conv1_3_3x3', 'backbone/stem3'),
    *(
        (
            f'conv{stage + 1}_{i + 1}_{there}',
            f'backbone/stage{stage}_{i}/{here}',
        )
        for stage, depth in enumerate(DEPTHS, 1)
        for i in range(depth)
        for there, here in LAYERS
    ),
    ('conv5_4_k1', 'deep'),
    ('conv_sub4', 'fuse_middle/coarse'),
    ('conv3_1_sub2_proj', 'fuse_middle/fine'),
    ('conv_sub2', 'fuse_light/coarse'),
    ('conv3_sub1_proj', 'fuse_light/fine'),
    (r'conv(\d)_sub1', r'light\1'),
)

RULES = (
    *((there, f'{here}/conv') for there, here in NAMES),
    *((f'{there}/bn', f'{here}/norm') for there, here in NAMES),
    ('conv6_cls', 'classifier'),
)
