"""Aligned Xception from timm: `xception41`, `xception65`, `xception71`."""

from segjax.convert.rules import conv_norm

_STACK = r'blocks\.(\d+)\.stack\.conv(\d)'

RULES = (
    *conv_norm(r'stem\.0', 'stem1', 'conv', 'bn'),
    *conv_norm(r'stem\.1', 'stem2', 'conv', 'bn'),
    *conv_norm(_STACK, r'block\1/separable\2/depthwise', 'conv_dw', 'bn_dw'),
    *conv_norm(_STACK, r'block\1/separable\2/pointwise', 'conv_pw', 'bn_pw'),
    *conv_norm(r'blocks\.(\d+)\.shortcut', r'block\1/shortcut', 'conv', 'bn'),
    (r'head\.fc', 'classifier'),
)
