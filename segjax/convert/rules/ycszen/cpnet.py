"""CPNet from its author, `cpnet_r50-d8` and others on ResNets.

Its field `sides` is the size of the crops that the weights were trained on.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet

AGGREGATION = r'decode_head\.aggregation'

RULES = (
    *under('backbone', resnet.PLAIN),
    *conv_norm(
        rf'{AGGREGATION}\.reduce_conv', 'aggregation/reduce', 'conv', 'bn'
    ),
    (rf'{AGGREGATION}\.t1\.conv', 'aggregation/down1'),
    (rf'{AGGREGATION}\.t2\.conv', 'aggregation/across1'),
    (rf'{AGGREGATION}\.p1\.conv', 'aggregation/across2'),
    (rf'{AGGREGATION}\.p2\.conv', 'aggregation/down2'),
    (rf'{AGGREGATION}\.norm', 'aggregation/norm'),
    *conv_norm(r'decode_head\.(prior|intra|inter)_conv', r'\1', 'conv', 'bn'),
    *conv_norm(r'decode_head\.bottleneck', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)
