"""Semantic FPN from mmsegmentation, `fpn_r50` and others on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet


def levels(head):
  """Returns the rules of pyramid and branches; there, the finest is level 0.

  Args:
    head: pattern of the module that holds the branches there.
  """
  return sum((_level(head, number) for number in range(4)), ())


def _level(head, number):
  level, branch = f'c{number + 2}', rf'{head}\.scale_heads\.{number}'
  return (
      (rf'neck\.lateral_convs\.{number}\.conv', f'fpn/lateral_{level}/conv'),
      (rf'neck\.fpn_convs\.{number}\.conv', f'fpn/output_{level}/conv'),
      # Between two convolutions is an enlarging.
      *conv_norm(rf'{branch}\.0', f'{level}_conv1', 'conv', 'bn'),
      *conv_norm(rf'{branch}\.2', f'{level}_conv2', 'conv', 'bn'),
      *conv_norm(rf'{branch}\.4', f'{level}_conv3', 'conv', 'bn'),
  )


RULES = (
    *under('backbone', resnet.PLAIN),
    *levels('decode_head'),
    *heads.RULES,
)
