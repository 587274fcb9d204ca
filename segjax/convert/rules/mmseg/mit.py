"""Mix Transformers from mmsegmentation, `mit_b0` and others."""

from segjax.convert.joints import split


def _stage(number):
  """Returns the rules of a stage; there, the first is 0."""
  source = rf'layers\.{number - 1}'
  block, target = rf'{source}\.1\.(\d+)', rf'stage{number}_\1'
  return (
      (rf'{source}\.0\.projection', f'patches{number}'),
      (rf'{source}\.0\.norm', f'patches{number}_norm'),
      (rf'{block}\.norm([12])', rf'{target}/norm\2'),
      (rf'{block}\.attn\.attn', f'{target}/attention'),
      (rf'{block}\.attn\.attn\.out_proj', f'{target}/attention/out'),
      (rf'{block}\.attn\.sr', f'{target}/attention/reduced'),
      (rf'{block}\.attn\.norm', f'{target}/attention/reduced_norm'),
      (rf'{block}\.ffn\.layers\.0', f'{target}/mlp/expand'),
      (rf'{block}\.ffn\.layers\.1', f'{target}/mlp/depthwise'),
      (rf'{block}\.ffn\.layers\.4', f'{target}/mlp/reduce'),
      (rf'{source}\.2', f'norm{number}'),
  )


RULES = (
    *sum(map(_stage, range(1, 5)), ()),
    *split(r'stage\d_\d+/attention', 'qkv', ('query', 'key', 'value')),
)
