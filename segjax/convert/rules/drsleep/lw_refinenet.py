"""Light-Weight RefineNet from its author, `rf_lw50` and deeper, and `mbv2`.

Fields of the latter: `mobile=True, top_features=256, dropout=0.0` on
'mobilenet/v2_drsleep'.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.drsleep.refinenet import LEVELS
from segjax.convert.rules.drsleep.refinenet import pooling
from segjax.convert.rules.torchvision import resnet

# Numbers of blocks of the layers there, from `layer2` on.
DEPTHS = (1, 2, 3, 4, 3, 3, 1)
PARTS = ('expand', 'depthwise', 'project')


def _mobilenet():
  """Returns the rules of 'mobilenet/v2_drsleep', whose blocks are in layers."""
  rules, block = list(conv_norm('layer1', 'stem')), 0
  for layer, depth in enumerate(DEPTHS, 2):
    for i in range(depth):
      block += 1
      for j, part in enumerate(PARTS):
        rules += conv_norm(
            rf'layer{layer}\.{i}\.output\.{j}', f'block{block}/{part}'
        )
  return tuple(rules)


def _resnet_level(number, level):
  return (
      (f'p_ims1d2_outl{number}_dimred', f'reduce_{level}'),
      (f'adapt_stage{number}_b2_joint_varout_dimred', f'skip_{level}'),
      *pooling(f'mflow_conv_g{number}_pool', f'pool_{level}'),
      (
          f'mflow_conv_g{number - 1}_b3_joint_varout_dimred',
          f'narrow_{level}',
      ),
  )


RULES = {
    'resnet': (
        *under('', resnet.RULES, 'backbone'),
        *(
            rule
            for number, level in enumerate(LEVELS, 1)
            for rule in _resnet_level(number, level)
        ),
        ('clf_conv', 'classifier'),
    ),
    'mobilenet': (
        *under('', _mobilenet(), 'backbone'),
        *(
            (f'conv{number}', f'reduce_{name}')
            for number, name in enumerate(
                ('c2', 'c3', 'c4_inner', 'c4', 'c5_inner', 'c5'), 3
            )
        ),
        *(
            rule
            for number in (1, 2, 3, 4)
            for rule in pooling(f'crp{number}', f'pool_c{number + 1}')
        ),
        *((f'conv_adapt{number}', f'narrow_c{number}') for number in (2, 3, 4)),
        ('segm', 'classifier'),
    ),
}
