"""HRNet from its authors, for ImageNet too.

What HRNet-Image-Classification has on top of the four branches is dropped: it
enlarges maps to the nearest pixel, so its classes are not those of this HRNet.
"""

from segjax.convert.rules import conv_norm

BLOCK = (r'conv(\d)', r'bn(\d)')
MODULE = r'stage(\d)\.(\d+)'

RULES = (
    ('conv([12])', r'stem\1/conv'),
    ('bn([12])', r'stem\1/norm'),
    *conv_norm(r'layer1\.(\d+)', r'stage1_\1/conv\2', *BLOCK),
    *conv_norm(r'layer1\.(\d+)\.downsample', r'stage1_\1/shortcut'),
    *conv_norm(r'transition(\d)\.(\d)(?:\.0)?', r'transition\1_\2'),
    *conv_norm(
        rf'{MODULE}\.branches\.(\d)\.(\d+)',
        r'stage\1_\2/branch\3_\4/conv\5',
        *BLOCK,
    ),
    *conv_norm(rf'{MODULE}\.fuse_layers\.(\d)\.(\d)', r'stage\1_\2/up\3_\4'),
    *conv_norm(
        rf'{MODULE}\.fuse_layers\.(\d)\.(\d)\.(\d)',
        r'stage\1_\2/down\3_\4_\5',
    ),
    (r'(incre_modules|downsamp_modules|final_layer)\..*|classifier', None),
)
