"""ConvNeXt from transformers, `facebook/convnext-tiny-224` and others."""


def _stage(number):
  """Returns the rules of a stage; there, the first is 0."""
  stage = rf'(?:convnext\.)?encoder\.stages\.{number - 1}'
  block, target = rf'{stage}\.layers\.(\d+)', rf'stage{number}_\1'
  return (
      (rf'{stage}\.downsampling_layer\.0', f'patches{number}_norm'),
      (rf'{stage}\.downsampling_layer\.1', f'patches{number}'),
      (rf'{block}\.dwconv', f'{target}/depthwise'),
      (rf'{block}\.layernorm', f'{target}/norm'),
      (rf'{block}\.pwconv1', f'{target}/expand'),
      (rf'{block}\.pwconv2', f'{target}/reduce'),
      (rf'{block}\.layer_scale_parameter', f'{target}/scale/scale'),
  )


RULES = (
    (r'(?:convnext\.)?embeddings\.patch_embeddings', 'patches1'),
    (r'(?:convnext\.)?embeddings\.layernorm', 'patches1_norm'),
    *sum(map(_stage, range(1, 5)), ()),
    (r'hidden_states_norms\.stage(\d)', r'norm\1'),
    (r'(?:convnext\.)?layernorm', 'norm'),
    ('classifier', 'classifier'),
)
