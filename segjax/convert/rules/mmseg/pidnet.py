"""PIDNet from mmsegmentation: `pidnet-s`, `pidnet-m` and `pidnet-l`.

The fields of each are in the docstring of segjax/models/pidnet.py.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads


def _conv(source, target):
  return conv_norm(rf'backbone\.{source}', target, 'conv', 'bn')


def _head(name, classifier, target):
  head = rf'decode_head\.{name}'
  return (
      (rf'{head}\.conv\.bn', f'{target}/conv/input_norm'),
      (rf'{head}\.conv\.conv', f'{target}/conv/conv/conv'),
      (rf'{head}\.norm', f'{target}/conv/conv/norm'),
      (rf'decode_head\.{classifier}', f'{target}/classifier'),
  )


RULES = (
    *_conv(r'stem\.0', 'stem1'),
    *_conv(r'stem\.1', 'stem2'),
    *heads.residual_group(r'backbone\.stem\.2', 'stem3'),
    *heads.residual_group(r'backbone\.stem\.4', 'stem4'),
    *(
        rule
        for branch in 'ipd'
        for i in range(3)
        for rule in heads.residual_group(
            rf'backbone\.{branch}_branch_layers\.{i}', f'{branch}{i + 3}'
        )
    ),
    # Single blocks of the branch D.
    *(
        rule
        for i in range(2)
        for rule in heads.residual_block(
            rf'backbone\.d_branch_layers\.{i}', f'd{i + 3}/block0'
        )
    ),
    *(
        rule
        for i in (1, 2)
        for rule in (
            *_conv(f'compression_{i}', f'context_to_p{i + 2}'),
            *_conv(f'diff_{i}', f'context_to_d{i + 2}'),
            *_conv(rf'pag_{i}\.f_i', f'fuse_p{i + 2}/context'),
            *_conv(rf'pag_{i}\.f_p', f'fuse_p{i + 2}/detail'),
        )
    ),
    *under('backbone', heads.POOLED_PYRAMID, 'pyramid'),
    *_conv(r'dfm\.f_p', 'fusion/detail'),
    *_conv(r'dfm\.f_i', 'fusion/context'),
    *_conv(r'dfm\.conv', 'fusion/conv'),
    *_head('i_head', 'conv_seg', 'head'),
    *_head('p_head', 'p_cls_seg', 'aux_p'),
    *_head('d_head', 'd_cls_seg', 'boundary'),
)
