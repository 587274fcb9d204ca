"""MSCAN from mmsegmentation and its authors, without a classifier."""

BLOCK = r'block(\d)\.(\d+)'
UNIT = rf'{BLOCK}\.attn\.spatial_gating_unit'

RULES = (
    (r'patch_embed1\.proj\.0', 'stem'),
    (r'patch_embed1\.proj\.1', 'stem_norm'),
    (r'patch_embed1\.proj\.3', 'patches1'),
    (r'patch_embed1\.proj\.4', 'patches1_norm'),
    (r'patch_embed(\d)\.proj', r'patches\1'),
    (r'patch_embed(\d)\.norm', r'patches\1_norm'),
    (rf'{BLOCK}\.layer_scale_([12])', r'stage\1_\2/scale\3/scale'),
    (rf'{BLOCK}\.norm([12])', r'stage\1_\2/norm\3'),
    (rf'{BLOCK}\.attn\.proj_1', r'stage\1_\2/attention/expand'),
    (rf'{BLOCK}\.attn\.proj_2', r'stage\1_\2/attention/reduce'),
    (rf'{UNIT}\.conv0', r'stage\1_\2/attention/local'),
    (rf'{UNIT}\.conv3', r'stage\1_\2/attention/mix'),
    *(
        (rf'{UNIT}\.conv{i}_{j}', rf'stage\1_\2/attention/{strip}{i + 1}')
        for i in range(3)
        for j, strip in ((1, 'row'), (2, 'column'))
    ),
    (rf'{BLOCK}\.mlp\.fc1', r'stage\1_\2/mlp/expand'),
    # The authors' files say `dwconv` twice.
    (rf'{BLOCK}\.mlp\.dwconv(?:\.dwconv)?', r'stage\1_\2/mlp/depthwise'),
    (rf'{BLOCK}\.mlp\.fc2', r'stage\1_\2/mlp/reduce'),
    (r'norm(\d)', r'norm\1'),
)
