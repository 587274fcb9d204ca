"""Heads that most systems of mmsegmentation have."""

from segjax.convert.rules import conv_norm

RULES = (
    (r'decode_head\.conv_seg', 'classifier'),
    *conv_norm(r'auxiliary_head\.convs\.0', 'aux/conv', 'conv', 'bn'),
    (r'auxiliary_head\.conv_seg', 'aux/classifier'),
)


def separable(source, target):
  """Returns the rules of a `SeparableConvNormAct`."""
  return tuple(
      rule
      for part in ('depthwise', 'pointwise')
      for rule in conv_norm(
          rf'{source}\.{part}_conv', f'{target}/{part}', 'conv', 'bn'
      )
  )


def head(source, target):
  """Returns the rules of an `FCNHead` among several."""
  return (
      *conv_norm(rf'{source}\.convs\.0', f'{target}/conv', 'conv', 'bn'),
      *conv_norm(rf'{source}\.convs\.1', f'{target}/conv2', 'conv', 'bn'),
      (rf'{source}\.conv_seg', f'{target}/classifier'),
  )


def refinement(source, target):
  """Returns the rules of an `AttentionRefinement`."""
  return (
      *conv_norm(rf'{source}\.conv_layer', f'{target}/conv', 'conv', 'bn'),
      *conv_norm(
          rf'{source}\.atten_conv_layer\.1', f'{target}/gate', 'conv', 'bn'
      ),
  )
