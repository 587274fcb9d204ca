"""ConvNeXt from timm: `convnext_tiny` and others, of the first version."""


def _stage(number):
  """Returns the rules of a stage; there, the first is 0."""
  stage = rf'stages\.{number - 1}'
  block, target = rf'{stage}\.blocks\.(\d+)', rf'stage{number}_\1'
  return (
      (rf'{stage}\.downsample\.0', f'patches{number}_norm'),
      (rf'{stage}\.downsample\.1', f'patches{number}'),
      (rf'{block}\.conv_dw', f'{target}/depthwise'),
      (rf'{block}\.norm', f'{target}/norm'),
      (rf'{block}\.mlp\.fc1', f'{target}/expand'),
      (rf'{block}\.mlp\.fc2', f'{target}/reduce'),
      (rf'{block}\.gamma', f'{target}/scale/scale'),
  )


RULES = (
    (r'stem\.0', 'patches1'),
    (r'stem\.1', 'patches1_norm'),
    *sum(map(_stage, range(1, 5)), ()),
    (r'head\.norm', 'norm'),
    (r'head\.fc', 'classifier'),
)
