"""PIDNet from its author: `PIDNet_S`, `PIDNet_M` and `PIDNet_L`.

The network is that of mmsegmentation, which the model was checked against; the
fields of each are in the docstring of segjax/models/pidnet.py.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.ydhonghit import ddrnet

RULES = (
    *ddrnet.STEM,
    *(
        rule
        for i in (3, 4, 5)
        for rule in (
            *ddrnet.group(f'layer{i}', f'i{i}'),
            *ddrnet.group(f'layer{i}_', f'p{i}'),
            *ddrnet.group(f'layer{i}_d', f'd{i}'),
            # A single block.
            *ddrnet.block(f'layer{i}_d', f'd{i}/block0'),
        )
    ),
    *conv_norm(r'compression(\d)', r'context_to_p\1'),
    *conv_norm(r'diff(\d)', r'context_to_d\1'),
    *conv_norm(r'pag(\d)\.f_x', r'fuse_p\1/detail'),
    *conv_norm(r'pag(\d)\.f_y', r'fuse_p\1/context'),
    *ddrnet.PYRAMID,
    *conv_norm(r'dfm\.conv_p', 'fusion/detail'),
    *conv_norm(r'dfm\.conv_i', 'fusion/context'),
    *conv_norm(r'dfm\.conv', 'fusion/conv', '2', '0'),
    *ddrnet.head('final_layer', 'head'),
    *ddrnet.head('seghead_p', 'aux_p'),
    *ddrnet.head('seghead_d', 'boundary'),
)
