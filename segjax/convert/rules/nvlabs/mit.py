"""Mix Transformers from SegFormer's authors: `mit_b0` and others.

Their field: `reduced_epsilon=1e-5`.
"""

from segjax.convert.joints import split

BLOCK, TARGET = r'block(\d)\.(\d+)', r'stage\1_\2'

RULES = (
    (r'patch_embed(\d)\.proj', r'patches\1'),
    (r'patch_embed(\d)\.norm', r'patches\1_norm'),
    (rf'{BLOCK}\.norm([12])', rf'{TARGET}/norm\3'),
    (rf'{BLOCK}\.attn\.q', rf'{TARGET}/attention/query'),
    (rf'{BLOCK}\.attn\.kv', rf'{TARGET}/attention/key_value'),
    (rf'{BLOCK}\.attn\.proj', rf'{TARGET}/attention/out'),
    (rf'{BLOCK}\.attn\.sr', rf'{TARGET}/attention/reduced'),
    (rf'{BLOCK}\.attn\.norm', rf'{TARGET}/attention/reduced_norm'),
    (rf'{BLOCK}\.mlp\.fc1', rf'{TARGET}/mlp/expand'),
    (rf'{BLOCK}\.mlp\.dwconv\.dwconv', rf'{TARGET}/mlp/depthwise'),
    (rf'{BLOCK}\.mlp\.fc2', rf'{TARGET}/mlp/reduce'),
    (r'norm(\d)', r'norm\1'),
    *split(r'stage\d_\d+/attention', 'key_value', ('key', 'value')),
    ('head', 'classifier'),
)
