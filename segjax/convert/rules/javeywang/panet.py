"""PAN from JaveyWang, on ResNet-50."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

FPA = r'pan\.fpa'
GAU = r'pan\.gau_block'

RULES = (
    (r'convnet\.model\.fc', None),
    *under(r'convnet\.model', resnet.RULES, 'backbone'),
    *conv_norm(FPA, 'pyramid/master', 'conv_master', 'bn_master'),
    *conv_norm(FPA, 'pyramid/mean', 'conv_gpb', 'bn_gpb'),
    *(
        rule
        for i, kernel in enumerate((7, 5, 3), 1)
        for rule in (
            *conv_norm(
                FPA,
                f'pyramid/down{i}',
                f'conv{kernel}x{kernel}_1',
                f'bn{i}_1',
            ),
            *conv_norm(
                FPA,
                f'pyramid/level{i}',
                f'conv{kernel}x{kernel}_2',
                f'bn{i}_2',
            ),
            *conv_norm(
                FPA,
                f'pyramid/up{i}/layer',
                f'conv_upsample_{i}',
                f'bn_upsample_{i}',
            ),
        )
    ),
    *(
        rule
        for i, level in enumerate(('c4', 'c3', 'c2'), 1)
        for name, conv, norm in (
            ('gate', 'conv1x1', 'bn_high'),
            ('fine', 'conv3x3', 'bn_low'),
            ('reduce', 'conv_reduction', 'bn_reduction'),
            ('enlarge/layer', 'conv_upsample', 'bn_upsample'),
        )
        for rule in conv_norm(
            f'{GAU}{i}', f'upsample_{level}/{name}', conv, norm
        )
    ),
    (r'mask_classifier\.mask_conv', 'classifier'),
    (r'classifier\.fc1', 'image_classifier'),
)
