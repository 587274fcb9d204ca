"""Swin from timm: `swin_tiny_patch4_window7_224` and others.

At their own size timm gives the last stage one window without a shift:
'swin/tiny(shrink=True)'.
"""


def _stage(number):
  """Returns the rules of a stage; there, the first is 0."""
  stage = rf'layers\.{number - 1}'
  block, target = rf'{stage}\.blocks\.(\d+)', rf'stage{number}_\1'
  return (
      (rf'{stage}\.downsample\.norm', f'merge{number}/norm'),
      (rf'{stage}\.downsample\.reduction', f'merge{number}/reduce'),
      (rf'{block}\.norm([12])', rf'{target}/norm\2'),
      (rf'{block}\.attn\.qkv', f'{target}/attention/qkv'),
      (rf'{block}\.attn\.proj', f'{target}/attention/out'),
      (
          rf'{block}\.attn\.relative_position_bias_table',
          f'{target}/attention/positions',
      ),
      (rf'{block}\.mlp\.fc1', f'{target}/expand'),
      (rf'{block}\.mlp\.fc2', f'{target}/reduce'),
  )


RULES = (
    (r'patch_embed\.proj', 'patches'),
    (r'patch_embed\.norm', 'patches_norm'),
    *sum(map(_stage, range(1, 5)), ()),
    # Constants that older files hold.
    (r'.*\.(relative_position_index|attn_mask)', None),
    ('norm', 'norm'),
    (r'head\.fc', 'classifier'),
)
