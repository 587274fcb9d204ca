"""Swin from mmsegmentation, without a classifier.

Its merging reads the four pixels of a channel one after another, row by row;
here it is the channels of each pixel, column by column.
"""

from segjax.convert.joints import regrouped


def _stage(number):
  """Returns the rules of a stage; there, the first is 0."""
  stage = rf'stages\.{number - 1}'
  block, target = rf'{stage}\.blocks\.(\d+)', rf'stage{number}_\1'
  attention = rf'{block}\.attn\.w_msa'
  return (
      (rf'{block}\.norm([12])', rf'{target}/norm\2'),
      (rf'{attention}\.qkv', f'{target}/attention/qkv'),
      (rf'{attention}\.proj', f'{target}/attention/out'),
      (
          rf'{attention}\.relative_position_bias_table',
          f'{target}/attention/positions',
      ),
      (rf'{attention}\.relative_position_index', None),
      (rf'{block}\.ffn\.layers\.0\.0', f'{target}/expand'),
      (rf'{block}\.ffn\.layers\.1', f'{target}/reduce'),
      (rf'{stage}\.downsample\.norm', f'merge{number + 1}/norm'),
      (rf'{stage}\.downsample\.reduction', f'merge{number + 1}/reduce'),
      (f'norm{number - 1}', f'norm{number}'),
  )


RULES = (
    (r'patch_embed\.projection', 'patches'),
    (r'patch_embed\.norm', 'patches_norm'),
    *sum(map(_stage, range(1, 5)), ()),
    *(
        regrouped(r'merge\d', variable, (-1, 2, 2), (2, 1, 0), axis)
        for variable, axis in (
            ('reduce/kernel', -2),
            ('norm/scale', -1),
            ('norm/bias', -1),
        )
    ),
)
