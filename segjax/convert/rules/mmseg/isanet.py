"""ISANet from mmsegmentation, `isanet_r50-d8` and others on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet


def relation(source, target):
  """Returns the rules of one of the two steps of attention."""
  attention = f'{target}/attention'
  return (
      *conv_norm(
          rf'{source}\.(query|key)_project\.(\d)',
          rf'{attention}/\1/conv\2',
          'conv',
          'bn',
      ),
      (rf'{source}\.value_project', f'{attention}/value'),
      *conv_norm(
          rf'{source}\.output_project', f'{target}/project', 'conv', 'bn'
      ),
  )


RULES = (
    *under('backbone', resnet.PLAIN),
    *conv_norm(r'decode_head\.in_conv', 'reduce', 'conv', 'bn'),
    *relation(r'decode_head\.global_relation', 'context/distant'),
    *relation(r'decode_head\.local_relation', 'context/local'),
    *conv_norm(r'decode_head\.out_conv', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)
