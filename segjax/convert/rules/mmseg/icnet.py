"""ICNet from mmsegmentation, `icnet_r50-d8` and others on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import resnet

# Names there and here: fusions, their inputs, and heads that guide them.
FUSIONS = (('24', 'fuse_middle'), ('12', 'fuse_light'))
INPUTS = (('low', 'coarse'), ('high', 'fine'))
GUIDES = (('0', 'stride16'), ('1', 'stride8'))

RULES = (
    *under(r'backbone\.backbone', resnet.PLAIN, 'backbone'),
    *conv_norm(
        r'backbone\.psp_modules\.(\d)\.1', r'pyramid/level\1', 'conv', 'bn'
    ),
    *conv_norm(r'backbone\.psp_bottleneck', 'fuse_pyramid', 'conv', 'bn'),
    *(
        rule
        for i in range(3)
        for rule in conv_norm(
            rf'backbone\.conv_sub1\.{i}', f'light{i + 1}', 'conv', 'bn'
        )
    ),
    *conv_norm(r'backbone\.conv_sub2', 'middle', 'conv', 'bn'),
    *conv_norm(r'backbone\.conv_sub4', 'deep', 'conv', 'bn'),
    *(
        rule
        for number, fusion in FUSIONS
        for there, here in INPUTS
        for rule in conv_norm(
            rf'neck\.cff_{number}\.conv_{there}',
            f'{fusion}/{here}',
            'conv',
            'bn',
        )
    ),
    *conv_norm(r'decode_head\.convs\.0', 'head', 'conv', 'bn'),
    (r'decode_head\.conv_seg', 'classifier'),
    *(
        rule
        for number, name in GUIDES
        for rule in (
            *conv_norm(
                rf'auxiliary_head\.{number}\.convs\.0',
                f'aux_{name}/conv',
                'conv',
                'bn',
            ),
            (
                rf'auxiliary_head\.{number}\.conv_seg',
                f'aux_{name}/classifier',
            ),
        )
    ),
)
