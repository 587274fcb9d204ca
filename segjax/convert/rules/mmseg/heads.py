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


def residual_block(source, target, shortcut=('conv', 'bn')):
  """Returns the rules of a block; `shortcut` names its conv and its norm."""
  return (
      *(
          rule
          for i in (1, 2, 3)
          for rule in conv_norm(
              rf'{source}\.conv{i}', f'{target}/conv{i}', 'conv', 'bn'
          )
      ),
      *conv_norm(rf'{source}\.downsample', f'{target}/shortcut', *shortcut),
  )


def residual_group(source, target, shortcut=('conv', 'bn')):
  """Returns the rules of an `OpenGroup`; see `residual_block`."""
  return residual_block(rf'{source}\.(\d)', rf'{target}/block\1', shortcut)


def norm_act_conv(source, target):
  """Returns the rules of a `NormActConv`."""
  return conv_norm(source, target, 'conv', 'bn')


POOLED_PYRAMID = (
    *norm_act_conv(r'spp\.scales\.0', 'scale0'),
    *norm_act_conv(r'spp\.scales\.(\d)\.1', r'scale\1'),
    *(
        rule
        for i in range(4)
        for rule in norm_act_conv(rf'spp\.processes\.{i}', f'process{i + 1}')
    ),
    *norm_act_conv(r'spp\.processes', 'process'),
    *norm_act_conv(r'spp\.compression', 'fuse'),
    *norm_act_conv(r'spp\.shortcut', 'shortcut'),
)
