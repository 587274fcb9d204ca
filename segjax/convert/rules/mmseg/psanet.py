"""PSANet from mmsegmentation, `psanet_r50-d8` and others on ResNets.

Their `mask` is that of their config, (97, 97) or another one.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet


def direction(suffix, target):
  """Returns the rules of a `PointwiseAttention`."""
  attention = rf'decode_head\.attention{suffix}'
  return (
      *conv_norm(
          rf'decode_head\.reduce{suffix}', f'{target}/reduce', 'conv', 'bn'
      ),
      *conv_norm(rf'{attention}\.0', f'{target}/hidden', 'conv', 'bn'),
      (rf'{attention}\.1', f'{target}/mask'),
  )


RULES = (
    *under('backbone', resnet.PLAIN),
    *direction('', 'collect'),
    *direction('_p', 'distribute'),
    *conv_norm(r'decode_head\.proj', 'project', 'conv', 'bn'),
    *conv_norm(r'decode_head\.bottleneck', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)
