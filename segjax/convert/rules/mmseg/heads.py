"""Heads that most systems of mmsegmentation have."""

from segjax.convert.rules import conv_norm

RULES = (
    (r'decode_head\.conv_seg', 'classifier'),
    *conv_norm(r'auxiliary_head\.convs\.0', 'aux/conv', 'conv', 'bn'),
    (r'auxiliary_head\.conv_seg', 'aux/classifier'),
)
