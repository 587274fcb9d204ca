"""Swin from transformers, as a backbone with a norm after each stage.

The norm of the classifier is dropped. Tensors have other names in published
files than in the library since its version 5; both are known here.
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


RULES = (
    (r'(?:swin\.)?embeddings\.patch_embeddings\.projection', 'patches'),
    (r'(?:swin\.)?embeddings\.norm', 'patches_norm'),
    *sum(map(_stage, range(1, 5)), ()),
    (r'(?:swin\.)?layernorm', None),
    (r'hidden_states_norms\.stage(\d)', r'norm\1'),
    *merged(r'stage\d_\d+/attention', ('query', 'key', 'value'), 'qkv'),
)
