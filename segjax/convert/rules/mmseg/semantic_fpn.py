"""Semantic FPN from mmsegmentation, `fpn_r50` and others on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet


def _level(number):
  """Returns the rules of a level; there, the finest is level 0."""
  level, head = f'c{number + 2}', rf'decode_head\.scale_heads\.{number}'
  return (
      (rf'neck\.lateral_convs\.{number}\.conv', f'fpn/lateral_{level}/conv'),
      (rf'neck\.fpn_convs\.{number}\.conv', f'fpn/output_{level}/conv'),
      # Between two convolutions is an enlarging.
      *conv_norm(rf'{head}\.0', f'{level}_conv1', 'conv', 'bn'),
      *conv_norm(rf'{head}\.2', f'{level}_conv2', 'conv', 'bn'),
      *conv_norm(rf'{head}\.4', f'{level}_conv3', 'conv', 'bn'),
  )


RULES = (
    *under('backbone', resnet.PLAIN),
    *sum(map(_level, range(4)), ()),
    *heads.RULES,
)
