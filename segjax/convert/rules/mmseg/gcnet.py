"""GCNet from mmsegmentation, `gcnet_r50-d8` and others on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet

BLOCK = r'decode_head\.gc_block'

RULES = (
    *under('backbone', resnet.PLAIN),
    *conv_norm(r'decode_head\.convs\.0', 'reduce', 'conv', 'bn'),
    (rf'{BLOCK}\.conv_mask', 'context/attention'),
    (rf'{BLOCK}\.channel_add_conv\.0', 'context/squeeze'),
    (rf'{BLOCK}\.channel_add_conv\.1', 'context/norm'),
    (rf'{BLOCK}\.channel_add_conv\.3', 'context/expand'),
    *conv_norm(r'decode_head\.convs\.1', 'refine', 'conv', 'bn'),
    *conv_norm(r'decode_head\.conv_cat', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)
