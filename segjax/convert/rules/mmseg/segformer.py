"""SegFormer from mmsegmentation, `segformer_mit-b0` and others."""

from segjax.convert.joints import permuted
from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import mit

RULES = (
    *under('backbone', mit.RULES),
    *(
        rule
        for i, level in enumerate(('c2', 'c3', 'c4', 'c5'))
        for rule in conv_norm(
            rf'decode_head\.convs\.{i}', f'project_{level}', 'conv', 'bn'
        )
    ),
    *conv_norm(r'decode_head\.fusion_conv', 'fuse', 'conv', 'bn'),
    # The finest level comes first there.
    permuted('fuse/conv', 'kernel', (3, 2, 1, 0)),
    *heads.RULES,
)
