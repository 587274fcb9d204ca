"""DINOv2's ViT from transformers: `facebook/dinov2-small` and others.

Those whose names have `with-registers` have `registers=4`. The token that
training puts in the place of masked patches is dropped.
"""

from segjax.convert.joints import merged

_QKV = dict(q_proj='query', k_proj='key', v_proj='value')


def dinov2_block(source, target):
  """Returns the rules of a block, with queries, keys and values apart.

  Args:
    source: pattern of a block there, with one group, its number.
    target: path of the block here.
  """
  attention = rf'{source}\.attention'
  return (
      (rf'{source}\.norm([12])', rf'{target}/norm\2'),
      *(
          (
              rf'{attention}\.(?:{theirs}|attention\.{ours})',
              f'{target}/attention/{ours}',
          )
          for theirs, ours in _QKV.items()
      ),
      (
          rf'{attention}\.(?:o_proj|out_proj|output\.dense)',
          f'{target}/attention/out',
      ),
      (rf'{source}\.layer_scale([12])\.lambda1', rf'{target}/scale\2/scale'),
      (rf'{source}\.mlp\.(?:fc1|weights_in)', f'{target}/expand'),
      (rf'{source}\.mlp\.(?:fc2|weights_out)', f'{target}/reduce'),
  )


RULES = (
    (r'embeddings\.mask_token', None),
    (r'embeddings\.cls_token', 'embed/class_token'),
    (r'embeddings\.register_tokens', 'embed/registers'),
    (r'embeddings\.position_embeddings', 'embed/positions'),
    (r'embeddings\.patch_embeddings\.projection', 'embed/patch'),
    *dinov2_block(r'encoder\.layer\.(\d+)', r'block\1'),
    ('layernorm', 'norm'),
    *merged(r'block\d+/attention', ('query', 'key', 'value'), 'qkv'),
)
