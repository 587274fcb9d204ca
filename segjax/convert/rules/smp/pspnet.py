"""PSPNet from segmentation_models_pytorch: `PSPNet` on ResNets.

Its fields: `level='c3', pool_features=32, plain_mean=True, fuse_kernel=1,
classifier_kernel=3, align_corners=True, dropout=0.2, drop_channels=True,
aux_level=''`, where 32 is a quarter of the channels of 'c3'.
"""

from segjax.convert.joints import permuted
from segjax.convert.rules import conv_norm
from segjax.convert.rules.smp import parts

RULES = (
    *parts.ENDS,
    *conv_norm(r'decoder\.psp\.blocks\.(\d)\.pool\.1', r'ppm/level\1'),
    *conv_norm(r'decoder\.conv', 'fuse'),
    # Four pooled grids, each with a quarter of the channels, come first there.
    permuted('fuse/conv', 'kernel', (4, 5, 6, 7, 0, 1, 2, 3)),
)
