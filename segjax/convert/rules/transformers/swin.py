"""Swin from transformers: `microsoft/swin-tiny-patch4-window7-224` and others.

Tensors have other names in files than in the library since its version 5; both
are known here. At their own size the last stage has one window without a shift:
'swin/tiny(shrink=True)'.
"""

from segjax.convert.joints import merged


def _stage(number):
  """Returns the rules of a stage; there, the first is 0."""
  stage = rf'(?:swin\.)?encoder\.layers\.{number - 1}'
  block, target = rf'{stage}\.blocks\.(\d+)', rf'stage{number}_\1'
  attention = rf'{block}\.attention'
  return (
      (rf'{block}\.layernorm_before', f'{target}/norm1'),
      (rf'{block}\.layernorm_after', f'{target}/norm2'),
      *(
          (
              rf'{attention}\.(?:{name[0]}_proj|self\.{name})',
              f'{target}/attention/{name}',
          )
          for name in ('query', 'key', 'value')
      ),
      (rf'{attention}\.(?:o_proj|output\.dense)', f'{target}/attention/out'),
      (
          rf'{attention}\.(?:relative_position_bias|self)'
          r'\.relative_position_bias_table',
          f'{target}/attention/positions',
      ),
      (rf'{attention}\.self\.relative_position_index', None),
      (rf'{block}\.(?:mlp\.fc1|intermediate\.dense)', f'{target}/expand'),
      (rf'{block}\.(?:mlp\.fc2|output\.dense)', f'{target}/reduce'),
      (rf'{stage}\.downsample\.norm', f'merge{number + 1}/norm'),
      (rf'{stage}\.downsample\.reduction', f'merge{number + 1}/reduce'),
  )


_STAGES = (
    (r'(?:swin\.)?embeddings\.patch_embeddings\.projection', 'patches'),
    (r'(?:swin\.)?embeddings\.norm', 'patches_norm'),
    *sum(map(_stage, range(1, 5)), ()),
    (r'hidden_states_norms\.stage(\d)', r'norm\1'),
    *merged(r'stage\d_\d+/attention', ('query', 'key', 'value'), 'qkv'),
)
_NORM = r'(?:swin\.)?layernorm'

# As a backbone, with a norm after each stage; that of a classifier is dropped.
LEVELS = (*_STAGES, (_NORM, None))
RULES = (*_STAGES, (_NORM, 'norm'), ('classifier', 'classifier'))
