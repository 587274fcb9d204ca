"""ViT and DINOv2 from transformers: `facebook/dinov2-small` and others.

Those of DINOv2 whose names have `with-registers` have `registers=4,
resize='antialias'`; the token that training puts in the place of masked patches
is dropped, and so is a classifier. The others, `google/vit-base-patch16-224`,
have `epsilon=1e-12`. Tensors have other names in files than in the library
since its version 5; both are known here.
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
      # The gates and what they multiply are one product in files.
      (rf'{source}\.mlp\.gate_proj', f'{target}/gate'),
      (rf'{source}\.mlp\.up_proj', f'{target}/up'),
      (rf'{source}\.mlp\.(?:fc2|weights_out|down_proj)', f'{target}/reduce'),
  )


_QKV_JOINT = merged(r'block\d+/attention', tuple(_QKV.values()), 'qkv')
_DINOV2 = r'(?:dinov2(?:_with_registers)?\.)?'
DINOV2 = (
    (rf'{_DINOV2}embeddings\.mask_token|classifier', None),
    (rf'{_DINOV2}embeddings\.cls_token', 'embed/class_token'),
    (rf'{_DINOV2}embeddings\.register_tokens', 'embed/registers'),
    (rf'{_DINOV2}embeddings\.position_embeddings', 'embed/positions'),
    (rf'{_DINOV2}embeddings\.patch_embeddings\.projection', 'embed/patch'),
    *dinov2_block(rf'{_DINOV2}encoder\.layer\.(\d+)', r'block\1'),
    (rf'{_DINOV2}layernorm', 'norm'),
    *_QKV_JOINT,
    *merged(r'block\d+', ('gate', 'up'), 'expand'),
)

_VIT = r'(?:vit\.)?'
_BLOCK = rf'{_VIT}(?:encoder\.layer|layers)\.(\d+)'
# Embedding and blocks of a plain ViT.
TOKENS = (
    (rf'{_VIT}embeddings\.cls_token', 'embed/class_token'),
    (rf'{_VIT}embeddings\.position_embeddings', 'embed/positions'),
    (rf'{_VIT}embeddings\.patch_embeddings\.projection', 'embed/patch'),
    (rf'{_BLOCK}\.layernorm_before', r'block\1/norm1'),
    (rf'{_BLOCK}\.layernorm_after', r'block\1/norm2'),
    *(
        (
            rf'{_BLOCK}\.attention\.(?:{theirs}|attention\.{ours})',
            rf'block\1/attention/{ours}',
        )
        for theirs, ours in _QKV.items()
    ),
    (
        rf'{_BLOCK}\.attention\.(?:o_proj|output\.dense)',
        r'block\1/attention/out',
    ),
    (rf'{_BLOCK}\.(?:mlp\.fc1|intermediate\.dense)', r'block\1/expand'),
    (rf'{_BLOCK}\.(?:mlp\.fc2|output\.dense)', r'block\1/reduce'),
    *_QKV_JOINT,
)
VIT = (
    (rf'{_VIT}pooler\.dense', None),
    *TOKENS,
    (rf'{_VIT}layernorm', 'norm'),
    ('classifier', 'classifier'),
)

RULES = {
    **{
        f'dinov2_{size}': DINOV2 for size in ('small', 'base', 'large', 'giant')
    },
    'vit': VIT,
}
