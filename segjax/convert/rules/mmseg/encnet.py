"""EncNet from mmsegmentation, `encnet_r50-d8` and others on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet

ENCODING = r'decode_head\.enc_module\.encoding'
# What FastFCN has too.
CONTEXT = (
    *conv_norm(f'{ENCODING}_project', 'encoding/project', 'conv', 'bn'),
    (rf'{ENCODING}\.0\.(codewords|scale)', r'encoding/residuals/\1'),
    (rf'{ENCODING}\.1', 'encoding/norm'),
    (r'decode_head\.enc_module\.fc\.0', 'encoding/gate'),
    (r'decode_head\.se_layer', 'presence'),
)

RULES = (
    *under('backbone', resnet.PLAIN),
    *conv_norm(r'decode_head\.bottleneck', 'reduce', 'conv', 'bn'),
    *conv_norm(r'decode_head\.lateral_convs\.0', 'lateral_c3', 'conv', 'bn'),
    *conv_norm(r'decode_head\.lateral_convs\.1', 'lateral_c4', 'conv', 'bn'),
    *conv_norm(r'decode_head\.fusion', 'fuse', 'conv', 'bn'),
    *CONTEXT,
    *heads.RULES,
)
