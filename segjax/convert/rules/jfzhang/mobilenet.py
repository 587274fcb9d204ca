"""MobileNetV2 from jfzhang95, here 'mobilenet/v2_jfzhang'.

Each block is in a file twice: in `features`, and in `low_level_features` or
`high_level_features`. The network computes with the latter, which are read.
"""

from segjax.convert.rules import conv_norm


def _block(source, target, parts):
  """Returns the rules of a block: convolution, norm, ReLU6, and so on."""
  return tuple(
      rule
      for i, part in enumerate(parts)
      for rule in conv_norm(
          rf'{source}\.conv', f'{target}/{part}', f'{3 * i}', f'{3 * i + 1}'
      )
  )


def _place(number):
  """Returns the pattern of the block's module."""
  return rf'{"low" if number < 4 else "high"}_level_features\.{number}'


RULES = (
    (r'features\..*', None),
    *conv_norm(_place(0), 'stem'),
    *_block(_place(1), 'block1', ('depthwise', 'project')),
    *(
        rule
        for number in range(2, 18)
        for rule in _block(
            _place(number),
            f'block{number}',
            ('expand', 'depthwise', 'project'),
        )
    ),
)
