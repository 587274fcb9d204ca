"""BiSeNetV2 from mmsegmentation, `bisenetv2_fcn`."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.mmseg import heads


def layers(*pairs):
  """Returns the rules of `ConvNormAct`s, given as (source, target)."""
  return tuple(
      rule
      for source, target in pairs
      for rule in conv_norm(source, target, 'conv', 'bn')
  )


SEMANTIC = (
    *layers(
        (r'stage1\.conv_first', 'stem/conv'),
        (r'stage1\.convs\.0', 'stem/reduce'),
        (r'stage1\.convs\.1', 'stem/strided'),
        (r'stage1\.fuse_last', 'stem/fuse'),
        (r'stage(\d)\.(\d)\.conv1', r'stage\1_\2/gather'),
        (r'stage(\d)\.(\d)\.dwconv\.0', r'stage\1_\2/expand'),
        (r'stage(\d)\.(\d)\.dwconv\.1', r'stage\1_\2/depthwise'),
        (r'stage(\d)\.(\d)\.conv2\.0', r'stage\1_\2/project'),
        (
            r'stage(\d)\.(\d)\.shortcut\.0\.(depth|point)wise_conv',
            r'stage\1_\2/shortcut_\3wise',
        ),
        (r'stage4_CEBlock\.conv_gap', 'context/project'),
        (r'stage4_CEBlock\.conv_last', 'context/conv'),
    ),
    (r'stage4_CEBlock\.gap\.1', 'context/norm'),
)
AGGREGATION = (
    *layers(
        (
            r'(detail|semantic)_dwconv\.0\.depthwise_conv',
            r'aggregation/\1_depthwise',
        ),
        (r'detail_down\.0', 'aggregation/detail_strided'),
        (r'semantic_conv\.0', 'aggregation/semantic'),
        ('conv', 'aggregation/fuse'),
    ),
    (
        r'(detail|semantic)_dwconv\.0\.pointwise_conv\.conv',
        r'aggregation/\1_pointwise',
    ),
)

RULES = (
    *layers(
        (
            r'backbone\.detail\.detail_branch\.0\.(\d)',
            r'detail/stage1_\1',
        ),
        (
            r'backbone\.detail\.detail_branch\.1\.(\d)',
            r'detail/stage2_\1',
        ),
        (
            r'backbone\.detail\.detail_branch\.2\.(\d)',
            r'detail/stage3_\1',
        ),
        (r'decode_head\.convs\.0', 'conv'),
    ),
    *(
        (rf'backbone\.semantic\.{source}', target)
        for source, target in SEMANTIC
    ),
    *((rf'backbone\.bga\.{source}', target) for source, target in AGGREGATION),
    (r'decode_head\.conv_seg', 'classifier'),
    *(
        rule
        for i in range(4)
        for rule in heads.head(rf'auxiliary_head\.{i}', f'aux_stage{i + 1}')
    ),
)
