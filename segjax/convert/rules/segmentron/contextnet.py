"""ContextNet from SegmenTron.

Without its auxiliary head, `aux_level=''`. It sees ImageNet's statistics.
"""

from segjax.convert.rules import conv_norm


def separable(source, target):
  """Returns the rules of a `SeparableConvNormAct`."""
  return (
      *conv_norm(source, f'{target}/depthwise', '0', '1'),
      *conv_norm(source, f'{target}/pointwise', '3', '4'),
  )


BLOCK = r'context_feature_extractor\.bottleneck(\d)\.(\d+)\.block'

RULES = (
    *conv_norm(r'spatial_detail\.conv\.conv', 'detail/conv1'),
    *(
        rule
        for i in (1, 2, 3)
        for rule in separable(
            rf'spatial_detail\.dsconv{i}\.conv', f'detail/conv{i + 1}'
        )
    ),
    *conv_norm(r'context_feature_extractor\.conv_\.conv', 'context/stem'),
    *conv_norm(rf'{BLOCK}\.0\.conv', r'context/stage\1_\2/expand'),
    *conv_norm(rf'{BLOCK}\.1\.conv', r'context/stage\1_\2/depthwise'),
    *conv_norm(BLOCK, r'context/stage\1_\2/project', '2', '3'),
    *conv_norm(r'feature_fusion\.dwconv\.conv', 'fusion/depthwise'),
    *conv_norm(r'feature_fusion\.conv_lower_res', 'fusion/context'),
    *conv_norm(r'feature_fusion\.conv_higher_res', 'fusion/detail'),
    *separable(r'classifier\.dsconv(\d)\.conv', r'head\1'),
    (r'classifier\.conv\.1', 'classifier'),
    *conv_norm('auxlayer', 'aux/conv'),
    (r'auxlayer\.4', 'aux/classifier'),
)
