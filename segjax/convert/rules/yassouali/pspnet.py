"""PSPNet from pytorch-segmentation, on its own ResNets.

Fields: `aux_features=512, align_pyramid=True` on
'resnet/152_v1s(output_stride=8)' and others.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

BACKBONE = (
    *conv_norm(r'initial\.0', 'stem1', '0', '1'),
    *conv_norm(r'initial\.0', 'stem2', '3', '4'),
    (r'initial\.0\.6', 'stem3/conv'),
    (r'initial\.1', 'stem3/norm'),
    *resnet.STAGES,
)

RULES = (
    *under('', BACKBONE, 'backbone'),
    *conv_norm(r'master_branch\.0\.stages\.(\d)', r'ppm/level\1', '1', '2'),
    *conv_norm(r'master_branch\.0\.bottleneck', 'fuse'),
    (r'master_branch\.1', 'classifier'),
    *conv_norm('auxiliary_branch', 'aux/conv'),
    (r'auxiliary_branch\.4', 'aux/classifier'),
)
