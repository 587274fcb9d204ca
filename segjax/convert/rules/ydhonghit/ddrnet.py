"""DDRNet from its author: `DDRNet_23_slim` and `DDRNet_23`.

The network is that of mmsegmentation, which the model was checked against.
"""

from segjax.convert.joints import bias_in_mean
from segjax.convert.rules import conv_norm


def block(source, target):
  """Returns the rules of a residual block."""
  return (
      *(
          rule
          for i in (1, 2, 3)
          for rule in (
              (rf'{source}\.conv{i}', f'{target}/conv{i}/conv'),
              (rf'{source}\.bn{i}', f'{target}/conv{i}/norm'),
          )
      ),
      *conv_norm(rf'{source}\.downsample', f'{target}/shortcut'),
  )


def group(source, target):
  """Returns the rules of an `OpenGroup`."""
  return block(rf'{source}\.(\d)', rf'{target}/block\1')


def head(source, target):
  """Returns the rules of a head."""
  return (
      (rf'{source}\.bn1', f'{target}/conv/input_norm'),
      (rf'{source}\.conv1', f'{target}/conv/conv/conv'),
      (rf'{source}\.bn2', f'{target}/conv/conv/norm'),
      (rf'{source}\.conv2', f'{target}/classifier'),
  )


# Stem and pyramid, which PIDNet's author has alike.
STEM = (
    *conv_norm('conv1', 'stem1', '0', '1'),
    *conv_norm('conv1', 'stem2', '3', '4'),
    bias_in_mean('stem[12]'),
    *group('layer1', 'stem3'),
    *group('layer2', 'stem4'),
)
PYRAMID = (
    *conv_norm(r'spp\.scale0', 'pyramid/scale0', '2', '0'),
    # Behind a pooling.
    *conv_norm(r'spp\.scale([1-4])', r'pyramid/scale\1', '3', '1'),
    *conv_norm(r'spp\.process(\d)', r'pyramid/process\1', '2', '0'),
    *conv_norm(r'spp\.scale_process', 'pyramid/process', '2', '0'),
    *conv_norm(r'spp\.compression', 'pyramid/fuse', '2', '0'),
    *conv_norm(r'spp\.shortcut', 'pyramid/shortcut', '2', '0'),
)

RULES = (
    *STEM,
    *(
        rule
        for i in (3, 4, 5)
        for rule in (
            *group(f'layer{i}', f'context{i}'),
            *group(f'layer{i}_', f'detail{i}'),
        )
    ),
    *conv_norm(r'compression(\d)', r'exchange\1/up'),
    *conv_norm(r'down(\d)', r'exchange\1/down1'),
    *conv_norm(r'down4', 'exchange4/down2', '3', '4'),
    *PYRAMID,
    *head('final_layer', 'head'),
    *head('seghead_extra', 'aux_detail'),
)
