"""DPT from transformers: `DPTForSemanticSegmentation` on a plain ViT.

Its backbone has `resize='bilinear', epsilon=1e-12`, and the default `widths`
are those of ViT-B; `dpt-large-ade` on ViT-L has `taps=(5, 11, 17, 23)` and
`widths=(256, 512, 1024, 1024)`. The final norm and the first block of the
coarsest fusion are in its files, but not used, and are dropped. Files whose
configuration has `use_batch_norm_in_fusion_residual=False`, the default there,
have `fusion_norm=False`; those of `dpt-large-ade` have batch norm.
"""

from segjax.convert.rules import under
from segjax.convert.rules.transformers import vit

_STAGE = r'neck\.reassemble_stage'
_FUSION = r'neck\.fusion_stage\.layers\.(\d)'
_UNIT = rf'{_FUSION}\.residual_layer(\d)'


def _head(source, target):
  """Returns the rules of a head."""
  return (
      (rf'{source}\.head\.0', f'{target}/conv/conv'),
      (rf'{source}\.head\.1', f'{target}/conv/norm'),
      (rf'{source}\.head\.4', f'{target}/classifier'),
  )


RULES = (
    *under('dpt', vit.TOKENS, 'backbone'),
    (r'dpt\.layernorm', None),
    (rf'{_STAGE}\.readout_projects\.(\d)\.0', r'readout\1'),
    (rf'{_STAGE}\.layers\.(\d)\.projection', r'reassemble\1/project'),
    (rf'{_STAGE}\.layers\.(\d)\.resize', r'reassemble\1/resize'),
    (r'neck\.convs\.(\d)', r'reassemble\1/output'),
    (r'neck\.fusion_stage\.layers\.0\.residual_layer1\..*', None),
    (rf'{_UNIT}\.convolution(\d)', r'fusion\1/unit\2/conv\3/conv'),
    (rf'{_UNIT}\.batch_norm(\d)', r'fusion\1/unit\2/conv\3/norm'),
    (rf'{_FUSION}\.projection', r'fusion\1/project'),
    *_head('head', 'head'),
    *_head('auxiliary_head', 'aux'),
)
