"""ViT from mmsegmentation, as SETR uses it.

Its fields: `patch_bias=False, final_norm=False, resize='bilinear'`.
"""

RULES = (
    ('cls_token', 'embed/class_token'),
    ('pos_embed', 'embed/positions'),
    (r'patch_embed\.projection', 'embed/patch'),
    (r'layers\.(\d+)\.ln([12])', r'block\1/norm\2'),
    (r'layers\.(\d+)\.attn\.attn', r'block\1/attention'),
    (r'layers\.(\d+)\.attn\.attn\.out_proj', r'block\1/attention/out'),
    (r'layers\.(\d+)\.ffn\.layers\.0\.0', r'block\1/expand'),
    (r'layers\.(\d+)\.ffn\.layers\.1', r'block\1/reduce'),
    ('ln1', 'norm'),
)
