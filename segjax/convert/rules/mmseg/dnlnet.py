"""DNLNet from mmsegmentation, `dnl_r50-d8` and others on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet

BLOCK = r'decode_head\.dnl_block'

RULES = (
    *under('backbone', resnet.PLAIN),
    *conv_norm(r'decode_head\.convs\.0', 'reduce', 'conv', 'bn'),
    (rf'{BLOCK}\.theta\.conv', 'attention/query'),
    (rf'{BLOCK}\.phi\.conv', 'attention/key'),
    (rf'{BLOCK}\.g\.conv', 'attention/value'),
    (rf'{BLOCK}\.conv_mask', 'attention/unary'),
    (rf'{BLOCK}\.conv_out\.conv', 'attention/project'),
    (rf'{BLOCK}\.conv_out\.bn', 'attention/norm'),
    *conv_norm(r'decode_head\.convs\.1', 'refine', 'conv', 'bn'),
    *conv_norm(r'decode_head\.conv_cat', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)
