"""SegFormer from segmentation_models_pytorch: `Segformer` on ResNets.

Its fields: `levels=('c5', 'c4', 'c3', 'c2', 'c1'), linear=True, dropout=0.0,
align_corners=True`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.smp import parts

RULES = (
    *parts.ENDS,
    *(
        (rf'decoder\.mlp_stage\.{i}\.linear', f'project_{level}')
        for i, level in enumerate(('c5', 'c4', 'c3', 'c2', 'c1'))
    ),
    *conv_norm(r'decoder\.fuse_stage', 'fuse'),
)
