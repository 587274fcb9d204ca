"""PSANet from semseg.

Its fields: `padded=False, align_corners=True` on
'resnet/50_v1s(output_stride=8, dilate_first=True)', and the `mask` of its
config, such as (59, 59) for crops of 465.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.semseg import resnet


def direction(suffix, target):
  """Returns the rules of a `PointwiseAttention`."""
  attention = rf'psa\.attention{suffix}'
  return (
      *conv_norm(rf'psa\.reduce{suffix}', f'{target}/reduce'),
      *conv_norm(attention, f'{target}/hidden'),
      (rf'{attention}\.3', f'{target}/mask'),
  )


RULES = (
    *under('', resnet.RULES, 'backbone'),
    *direction('', 'collect'),
    *direction('_p', 'distribute'),
    *conv_norm(r'psa\.proj', 'project'),
    *conv_norm('cls', 'fuse'),
    (r'cls\.4', 'classifier'),
    *conv_norm('aux', 'aux/conv'),
    (r'aux\.4', 'aux/classifier'),
)
