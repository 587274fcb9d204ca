"""MobileNet from torchvision: `mobilenet_v2`, `mobilenet_v3_large`, `_small`.

Systems hold the modules without 'features'.
"""

from segjax.convert.rules import conv_norm

N = r'(?:features\.)?'

RULES = (
    *conv_norm(rf'{N}0', 'stem'),
    # MobileNetV2; its first block does not expand.
    *conv_norm(rf'{N}1\.conv\.0', 'block1/depthwise'),
    *conv_norm(rf'{N}1\.conv', 'block1/project', '1', '2'),
    *conv_norm(rf'{N}(\d+)\.conv\.0', r'block\1/expand'),
    *conv_norm(rf'{N}(\d+)\.conv\.1', r'block\1/depthwise'),
    *conv_norm(rf'{N}(\d+)\.conv', r'block\1/project', '2', '3'),
    # MobileNetV3, likewise; a squeeze, if any, takes a number too.
    *conv_norm(rf'{N}1\.block\.0', 'block1/depthwise'),
    *conv_norm(rf'{N}1\.block\.1', 'block1/project'),
    *conv_norm(rf'{N}(\d+)\.block\.0', r'block\1/expand'),
    *conv_norm(rf'{N}(\d+)\.block\.1', r'block\1/depthwise'),
    *conv_norm(rf'{N}(\d+)\.block\.[23]', r'block\1/project'),
    (rf'{N}(\d+)\.block\.[12]\.fc([12])', r'block\1/squeeze/fc\2'),
    *conv_norm(rf'{N}\d+', 'last'),
    (r'classifier\.0', 'hidden'),
    (r'classifier\.[13]', 'classifier'),
)
