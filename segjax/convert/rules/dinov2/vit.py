"""DINOv2's ViT from its authors: `dinov2_vits14_pretrain` and others.

Those whose names end with `_reg4` have `registers=4`. The token that training
puts in the place of masked patches is dropped.
"""

from segjax.convert.rules.timm import vit

RULES = (
    ('mask_token', None),
    ('register_tokens', 'embed/registers'),
    (r'blocks\.(\d+)\.mlp\.w12', r'block\1/expand'),
    (r'blocks\.(\d+)\.mlp\.w3', r'block\1/reduce'),
    *vit.RULES,
)
