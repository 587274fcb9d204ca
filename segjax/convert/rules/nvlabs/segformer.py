"""SegFormer from its authors: `segformer.b0.512x512.ade.160k` and others.

Their fields: `linear=True` on 'mit/b0(reduced_epsilon=1e-5)', and
`features=768` from MiT-B2 on. They have a second classifier that is not used.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.nvlabs import mit

RULES = (
    *under('backbone', mit.RULES),
    *(
        (rf'decode_head\.linear_c{i}\.proj', f'project_c{i + 1}')
        for i in range(1, 5)
    ),
    *conv_norm(r'decode_head\.linear_fuse', 'fuse', 'conv', 'bn'),
    (r'decode_head\.linear_pred', 'classifier'),
    (r'decode_head\.conv_seg', None),
)
