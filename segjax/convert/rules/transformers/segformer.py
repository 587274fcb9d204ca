"""SegFormer from transformers, `nvidia/segformer-b0-finetuned-ade-512-512`.

Its fields: `linear=True` on 'mit/b0(epsilon=1e-5, reduced_epsilon=1e-5)', and
`features=768` from MiT-B2 on.
"""

from segjax.convert.rules import under
from segjax.convert.rules.transformers import mit

RULES = (
    *under('', mit.STAGES, 'backbone'),
    *(
        (
            rf'decode_head\.linear_(?:c|projections)\.{i}\.proj',
            f'project_c{i + 2}',
        )
        for i in range(4)
    ),
    (r'decode_head\.linear_fuse', 'fuse/conv'),
    (r'decode_head\.batch_norm', 'fuse/norm'),
    (r'decode_head\.classifier', 'classifier'),
)
