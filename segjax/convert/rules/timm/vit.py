"""ViT from timm: `vit_small_patch16_224` and others, with their classifier.

Of DINOv2, `vit_small_patch14_dinov2` and others; those with `reg4` have
`registers=4, class_position=False`.
"""

RULES = (
    ('cls_token', 'embed/class_token'),
    ('pos_embed', 'embed/positions'),
    ('reg_token', 'embed/registers'),
    (r'patch_embed\.proj', 'embed/patch'),
    (r'blocks\.(\d+)\.norm([12])', r'block\1/norm\2'),
    (r'blocks\.(\d+)\.attn\.qkv', r'block\1/attention/qkv'),
    (r'blocks\.(\d+)\.attn\.proj', r'block\1/attention/out'),
    (r'blocks\.(\d+)\.ls([12])\.gamma', r'block\1/scale\2/scale'),
    (r'blocks\.(\d+)\.mlp\.fc1', r'block\1/expand'),
    (r'blocks\.(\d+)\.mlp\.fc2', r'block\1/reduce'),
    ('norm', 'norm'),
    ('head', 'classifier'),
)
