"""MobileNetV2 from mmsegmentation, here 'mobilenet/v2_mmseg'."""

from segjax.convert.rules import conv_norm

# Number here of the first block of each layer there.
STARTS = (1, 2, 4, 7, 11, 14, 17)
DEPTHS = (1, 2, 3, 4, 3, 3, 1)


def _block(source, target, parts):
  """Returns the rules of a block, whose convolutions are numbered there."""
  return tuple(
      rule
      for i, part in enumerate(parts)
      for rule in conv_norm(
          rf'{source}\.conv\.{i}', f'{target}/{part}', 'conv', 'bn'
      )
  )


RULES = (
    *conv_norm('conv1', 'stem', 'conv', 'bn'),
    *_block(r'layer1\.0', 'block1', ('depthwise', 'project')),
    *(
        rule
        for layer in range(2, 8)
        for i in range(DEPTHS[layer - 1])
        for rule in _block(
            rf'layer{layer}\.{i}',
            f'block{STARTS[layer - 1] + i}',
            ('expand', 'depthwise', 'project'),
        )
    ),
)
