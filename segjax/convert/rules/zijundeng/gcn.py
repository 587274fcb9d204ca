"""GCN from zijundeng, `GCN` on ResNet-152.

Levels are numbered from the coarsest there, and so are the sums that follow.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

# A ResNet in a list of five: the first stage stands behind the pool.
BACKBONE = (
    *conv_norm('layer0', 'stem'),
    *conv_norm(
        r'layer1\.1\.(\d+)', r'stage1_\1/conv\2', r'conv(\d)', r'bn(\d)'
    ),
    *conv_norm(r'layer1\.1\.(\d+)\.downsample', r'stage1_\1/shortcut'),
    *resnet.STAGES,
)


def global_conv(source, target):
  """Returns the rules of a `GlobalConv`."""
  return (
      (rf'{source}\.conv_l([12])', rf'{target}/left\1'),
      (rf'{source}\.conv_r([12])', rf'{target}/right\1'),
  )


LEVELS = ('c5', 'c4', 'c3', 'c2')
REFINED = LEVELS + tuple(
    f'sum_{level}' for level in ('c4', 'c3', 'c2', 'c1', 'image')
)
RULES = (
    *under('', BACKBONE, 'backbone'),
    *(
        rule
        for i, level in enumerate(LEVELS, 1)
        for rule in global_conv(f'gcm{i}', f'score_{level}')
    ),
    *(
        (rf'brm{i}\.conv([12])', rf'refine_{name}/conv\1')
        for i, name in enumerate(REFINED, 1)
    ),
)
