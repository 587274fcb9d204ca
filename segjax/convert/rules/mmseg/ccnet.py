"""CCNet from mmsegmentation, `ccnet_r50-d8` and others on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet

RULES = (
    *under('backbone', resnet.PLAIN),
    *conv_norm(r'decode_head\.convs\.0', 'reduce', 'conv', 'bn'),
    (r'decode_head\.cca\.(query|key|value)_conv', r'attention/\1'),
    (r'decode_head\.cca\.gamma\.scale', 'attention/gamma'),
    *conv_norm(r'decode_head\.convs\.1', 'refine', 'conv', 'bn'),
    *conv_norm(r'decode_head\.conv_cat', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)
