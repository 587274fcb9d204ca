"""SETR from mmsegmentation, `setr_vit-l_pup_8xb1-80k_cityscapes` and others.

Those of ADE20K have `aux_steps=2` with the decoder 'naive', and 'pup' has it on
every data set.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import vit


def _head(source, target):
  """Returns the rules of a decoder or of auxiliary heads."""
  return (
      (rf'{source}\.norm', f'{target}/norm'),
      *conv_norm(
          rf'{source}\.up_convs\.(?P<step>\d)\.(?P<conv>\d)',
          rf'{target}/step\g<step>/conv\g<conv>',
          'conv',
          'bn',
      ),
      (rf'{source}\.conv_seg', f'{target}/classifier'),
  )


RULES = (
    *under('backbone', vit.RULES),
    (r'neck\.norm\.(\d)', r'neck/norm\1'),
    *conv_norm(
        r'neck\.mla\.channel_proj\.(\d)', r'neck/project\1', 'conv', 'bn'
    ),
    *conv_norm(
        r'neck\.mla\.feat_extract\.(\d)', r'neck/output\1', 'conv', 'bn'
    ),
    *_head('decode_head', 'decoder'),
    *_head(r'auxiliary_head\.(\d)', r'aux\1'),
)
