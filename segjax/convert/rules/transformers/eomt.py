"""EoMT from transformers, `tue-mps/ade20k_semantic_eomt_large_512` and others.

Their backbones have the `image_size` of the name, and `class_position=False`.
"""

from segjax.convert.joints import merged
from segjax.convert.rules.transformers.vit import dinov2_block

RULES = (
    (r'attn_mask_probs|criterion\.empty_weight', None),
    (r'query\.weight', 'queries'),
    (r'embeddings\.cls_token', 'backbone/embed/class_token'),
    (r'embeddings\.register_tokens', 'backbone/embed/registers'),
    (r'embeddings\.position_embeddings\.weight', 'backbone/embed/positions'),
    (r'embeddings\.patch_embeddings\.projection', 'backbone/embed/patch'),
    *dinov2_block(r'layers\.(\d+)', r'backbone/block\1'),
    ('layernorm', 'backbone/norm'),
    (r'upscale_block\.block\.(\d)\.conv1', r'head/upscale\1/enlarge'),
    (r'upscale_block\.block\.(\d)\.conv2', r'head/upscale\1/depthwise'),
    (r'upscale_block\.block\.(\d)\.layernorm2d', r'head/upscale\1/norm'),
    (r'mask_head\.fc([123])', r'head/mask\1'),
    ('class_predictor', 'head/classifier'),
    *merged(r'backbone/block\d+/attention', ('query', 'key', 'value'), 'qkv'),
)
