"""Xception from jfzhang95: `AlignedXception`, here 'xception/65_jfzhang'."""

from segjax.convert.rules import conv_norm


def _separable(source, norm, target):
  """Returns the rules of a separable convolution and the norm behind it."""
  return (
      *conv_norm(source, f'{target}/depthwise', 'conv1', 'bn'),
      (rf'{source}\.pointwise', f'{target}/pointwise/conv'),
      (norm, f'{target}/pointwise/norm'),
  )


def _block(source, target):
  """Returns the rules of a block; `rep` counts the ReLUs, too, if any."""
  rules = conv_norm(source, f'{target}/shortcut', 'skip', 'skipbn')
  for i in range(3):
    rules += _separable(
        rf'{source}\.rep\.[{3 * i}{3 * i + 1}]',
        rf'{source}\.rep\.[{3 * i + 1}{3 * i + 2}]',
        f'{target}/separable{i + 1}',
    )
  return rules


RULES = (
    ('conv([12])', r'stem\1/conv'),
    ('bn([12])', r'stem\1/norm'),
    *(rule for i in range(20) for rule in _block(f'block{i + 1}', f'block{i}')),
    *_separable('conv3', 'bn3', 'block20/separable1'),
    *_separable('conv4', 'bn4', 'block20/separable2'),
    *_separable('conv5', 'bn5', 'block20/separable3'),
)
