"""DANet from mmsegmentation, `danet_r50-d8` and others on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet


def branch(source, target):
  """Returns the rules of one of the two branches and its classifier."""
  head = rf'decode_head\.{source}'
  return (
      *conv_norm(f'{head}_in_conv', f'{target}/reduce', 'conv', 'bn'),
      (
          rf'{head}\.(query|key|value)_project',
          rf'{target}/attention/\1',
      ),
      (rf'{head}\.gamma\.scale', f'{target}/attention/gamma'),
      *conv_norm(f'{head}_out_conv', f'{target}/refine', 'conv', 'bn'),
      (f'{head}_conv_seg', f'{target}_classifier'),
  )


RULES = (
    *under('backbone', resnet.PLAIN),
    *branch('pam', 'position'),
    *branch('cam', 'channel'),
    *heads.RULES,
)
