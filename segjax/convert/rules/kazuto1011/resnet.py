"""ResNet from DeepLab, 'resnet/101_caffe': `deeplabv1_resnet101-coco`.

DeepLab begins with it; it knows COCO, and its classifier is dropped. It sees
BGR from 0 to 255, minus the mean.
"""

from segjax.convert.rules import conv_norm

NAMES = ('conv', 'bn')
PARTS = (
    ('reduce', 'conv1'),
    ('conv3x3', 'conv2'),
    ('increase', 'conv3'),
    ('shortcut', 'shortcut'),
)
DEPTHS = (3, 4, 23, 3)


def _block(stage, number):
  """Returns the rules of a block; there, the stem is counted as a stage."""
  source = rf'layer{stage + 1}\.block{number + 1}'
  return tuple(
      rule
      for theirs, ours in PARTS
      for rule in conv_norm(
          rf'{source}\.{theirs}', f'stage{stage}_{number}/{ours}', *NAMES
      )
  )


RULES = (
    *conv_norm(r'layer1\.conv1', 'stem', *NAMES),
    *(
        rule
        for stage, depth in enumerate(DEPTHS, 1)
        for number in range(depth)
        for rule in _block(stage, number)
    ),
    ('fc', None),
)
