"""DDRNet from mmsegmentation, `ddrnet_23-slim` and `ddrnet_23`."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads


def _group(source, target):
  return heads.residual_group(rf'backbone\.{source}', target, ('0', '1'))


def _exchange(source, target):
  return conv_norm(rf'backbone\.{source}', target, 'conv', 'bn')


def _head(source, target):
  return (
      (rf'{source}\.0\.bn', f'{target}/conv/input_norm'),
      (rf'{source}\.0\.conv', f'{target}/conv/conv/conv'),
      (rf'{source}\.1', f'{target}/conv/conv/norm'),
  )


RULES = (
    *conv_norm(r'backbone\.stem\.0', 'stem1', 'conv', 'bn'),
    *conv_norm(r'backbone\.stem\.1', 'stem2', 'conv', 'bn'),
    *_group(r'stem\.2', 'stem3'),
    *_group(r'stem\.4', 'stem4'),
    *(
        rule
        for i in range(3)
        for rule in (
            *_group(rf'context_branch_layers\.{i}', f'context{i + 3}'),
            *_group(rf'spatial_branch_layers\.{i}', f'detail{i + 3}'),
        )
    ),
    *_exchange('compression_1', 'exchange3/up'),
    *_exchange('down_1', 'exchange3/down1'),
    *_exchange('compression_2', 'exchange4/up'),
    *_exchange(r'down_2\.0', 'exchange4/down1'),
    *_exchange(r'down_2\.1', 'exchange4/down2'),
    *under('backbone', heads.POOLED_PYRAMID, 'pyramid'),
    *_head(r'decode_head\.head', 'head'),
    (r'decode_head\.conv_seg', 'head/classifier'),
    *_head(r'decode_head\.aux_head', 'aux_detail'),
    (r'decode_head\.aux_cls_seg', 'aux_detail/classifier'),
)
