"""DeepLabv3 from segmentation_models_pytorch: `DeepLabV3` on ResNets.

Its fields: `rates=(12, 24, 36), aspp_dropout=0.5, dropout=0.0,
align_corners=True, aux_level=''` on 'resnet/34(output_stride=8,
dilate_first=True)'.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.smp import parts

RULES = (
    *parts.ENDS,
    *conv_norm(r'decoder\.aspp\.convs\.0', 'aspp/point'),
    *conv_norm(r'decoder\.aspp\.convs\.([1-3])', r'aspp/atrous\1'),
    *conv_norm(r'decoder\.aspp\.convs\.4', 'aspp/image', '1', '2'),
    *conv_norm(r'decoder\.aspp\.project', 'aspp/project'),
    *conv_norm('decoder', 'fuse', 'conv', 'bn'),
)
