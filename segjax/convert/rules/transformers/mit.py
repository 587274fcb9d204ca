"""Mix Transformers from transformers, `nvidia/mit-b0` and others.

Their fields: `epsilon=1e-5, reduced_epsilon=1e-5`. Tensors have other names in
files than in the library since its version 5; both are known here.
"""

_ENCODER = r'(?:segformer\.)?(?:encoder\.)?'


def _stage(number):
  """Returns the rules of a stage; there, the first is 0."""
  old, new = f'{number - 1}', rf'stages\.{number - 1}'
  patches = rf'{_ENCODER}(?:patch_embeddings\.{old}|{new}\.patch_embeddings)'
  block = rf'{_ENCODER}(?:block\.{old}|{new}\.blocks)\.(\d+)'
  target = f'stage{number}_\\1'
  attention = rf'{block}\.attention'
  reduced = r'(?:self|sequence_reduction)'
  return (
      (rf'{patches}\.proj', f'patches{number}'),
      (rf'{patches}\.layer_norm', f'patches{number}_norm'),
      (rf'{block}\.(?:layer_norm_1|layernorm_before)', f'{target}/norm1'),
      (rf'{block}\.(?:layer_norm_2|layernorm_after)', f'{target}/norm2'),
      *(
          (
              rf'{attention}\.(?:self\.{name}|{name[0]}_proj)',
              f'{target}/attention/{name}',
          )
          for name in ('query', 'key', 'value')
      ),
      (rf'{attention}\.(?:output\.dense|o_proj)', f'{target}/attention/out'),
      (
          rf'{attention}\.{reduced}\.(?:sr|sequence_reduction)',
          f'{target}/attention/reduced',
      ),
      (
          rf'{attention}\.{reduced}\.layer_norm',
          f'{target}/attention/reduced_norm',
      ),
      (rf'{block}\.mlp\.(?:dense1|fc1)', f'{target}/mlp/expand'),
      (rf'{block}\.mlp\.dwconv\.dwconv', f'{target}/mlp/depthwise'),
      (rf'{block}\.mlp\.(?:dense2|fc2)', f'{target}/mlp/reduce'),
      (
          rf'{_ENCODER}(?:layer_norm\.{old}|{new}\.layer_norm)',
          f'norm{number}',
      ),
  )


STAGES = sum(map(_stage, range(1, 5)), ())
RULES = (*STAGES, ('classifier', 'classifier'))
