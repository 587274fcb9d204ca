"""DPT from segmentation_models_pytorch on a ViT of timm.

Its fields: `coarsest_unit=True, aux_level=''` and, with the default width of
its decoder, `widths=(256, 512, 1024, 1024)`; its backbone has
`resize='antialias'`. The final norm and the classifier of the ViT are in its
files, but not used, and are dropped.
"""

from segjax.convert.rules import under
from segjax.convert.rules.timm import vit

_FUSION = r'decoder\.fusion_blocks\.(\d)'
_UNIT = rf'{_FUSION}\.residual_conv_block(\d)'
_MAP = r'decoder\.reassemble_blocks\.(\d)'

RULES = (
    (r'encoder\.model\.(?:norm|head)', None),
    *under(r'encoder\.model', vit.RULES, 'backbone'),
    (r'decoder\.projection_blocks\.(\d)\.project\.0', r'readout\1'),
    (rf'{_MAP}\.project_to_out_channel', r'reassemble\1/project'),
    (rf'{_MAP}\.upsample', r'reassemble\1/resize'),
    (rf'{_MAP}\.project_to_feature_dim', r'reassemble\1/output'),
    (rf'{_UNIT}\.conv_(\d)', r'fusion\1/unit\2/conv\3/conv'),
    (rf'{_UNIT}\.batch_norm_(\d)', r'fusion\1/unit\2/conv\3/norm'),
    (rf'{_FUSION}\.project', r'fusion\1/project'),
    (r'segmentation_head\.head\.0', 'head/conv/conv'),
    (r'segmentation_head\.head\.1', 'head/conv/norm'),
    (r'segmentation_head\.head\.4', 'head/classifier'),
)
