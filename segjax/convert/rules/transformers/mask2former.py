"""Mask2Former from transformers on Swin: `facebook/mask2former-swin-tiny-...`.

The weights of the loss and the order of the levels there are the same as here.
"""

from segjax.convert.joints import split
from segjax.convert.rules import under
from segjax.convert.rules.transformers import swin

_PIXELS = r'model\.pixel_level_module'
_ENCODER = rf'{_PIXELS}\.decoder\.encoder\.layers\.(\d+)'
_MODULE = r'model\.transformer_module'
_DECODER = rf'{_MODULE}\.decoder\.layers\.(\d+)'
_PREDICTOR = rf'{_MODULE}\.decoder\.mask_predictor\.mask_embedder'

_PIXEL_DECODER = (
    (rf'{_PIXELS}\.decoder\.level_embed', 'levels'),
    *(
        rule
        for i, level in enumerate(('c5', 'c4', 'c3'))
        for rule in (
            (
                rf'{_PIXELS}\.decoder\.input_projections\.{i}\.0',
                f'project_{level}',
            ),
            (
                rf'{_PIXELS}\.decoder\.input_projections\.{i}\.1',
                f'norm_{level}',
            ),
        )
    ),
    (rf'{_ENCODER}\.self_attn\.sampling_offsets', r'layer\1/attention/offset'),
    (rf'{_ENCODER}\.self_attn\.attention_weights', r'layer\1/attention/weight'),
    (rf'{_ENCODER}\.self_attn\.value_proj', r'layer\1/attention/value'),
    (rf'{_ENCODER}\.self_attn\.output_proj', r'layer\1/attention/out'),
    (rf'{_ENCODER}\.self_attn_layer_norm', r'layer\1/norm1'),
    (rf'{_ENCODER}\.fc([12])', r'layer\1/mlp/fc\2'),
    (rf'{_ENCODER}\.final_layer_norm', r'layer\1/norm2'),
    (rf'{_PIXELS}\.decoder\.adapter_1\.0', 'lateral/conv'),
    (rf'{_PIXELS}\.decoder\.adapter_1\.1', 'lateral/norm'),
    (rf'{_PIXELS}\.decoder\.layer_1\.0', 'output/conv'),
    (rf'{_PIXELS}\.decoder\.layer_1\.1', 'output/norm'),
    (rf'{_PIXELS}\.decoder\.mask_projection', 'masks'),
)
_QUERIES = (
    (rf'{_MODULE}\.queries_embedder\.weight', 'query_positions'),
    (rf'{_MODULE}\.queries_features\.weight', 'queries'),
    (rf'{_MODULE}\.level_embed\.weight', 'levels'),
    (rf'{_DECODER}\.cross_attn', r'layer\1/cross'),
    (rf'{_DECODER}\.cross_attn\.out_proj', r'layer\1/cross/out'),
    (rf'{_DECODER}\.cross_attn_layer_norm', r'layer\1/norm1'),
    *(
        (rf'{_DECODER}\.self_attn\.{theirs}_proj', rf'layer\1/self/{ours}')
        for theirs, ours in (
            ('q', 'query'),
            ('k', 'key'),
            ('v', 'value'),
            ('out', 'out'),
        )
    ),
    (rf'{_DECODER}\.self_attn_layer_norm', r'layer\1/norm2'),
    (rf'{_DECODER}\.fc([12])', r'layer\1/mlp/fc\2'),
    (rf'{_DECODER}\.final_layer_norm', r'layer\1/norm3'),
    (rf'{_MODULE}\.decoder\.layernorm', 'norm'),
    *((rf'{_PREDICTOR}\.{i}\.0', f'predict/mlp/fc{i + 1}') for i in range(3)),
    ('class_predictor', 'predict/classifier'),
    *split(r'layer\d+/cross', 'qkv', ('query', 'key', 'value')),
)

RULES = {
    'swin': (
        (r'criterion\.empty_weight', None),
        *under(rf'{_PIXELS}\.encoder', swin.LEVELS, 'backbone'),
        *under('', _PIXEL_DECODER, 'pixel_decoder'),
        *under('', _QUERIES, 'decoder'),
    ),
}
