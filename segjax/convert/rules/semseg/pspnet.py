"""PSPNet from semseg.

Its fields: `backbone='resnet/50_v1s(output_stride=8, dilate_first=True)',
align_corners=True`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.semseg import resnet

RULES = (
    *under('', resnet.RULES, 'backbone'),
    *conv_norm(r'ppm\.features\.(\d)', r'ppm/level\1', '1', '2'),
    *conv_norm('cls', 'fuse'),
    (r'cls\.4', 'classifier'),
    *conv_norm('aux', 'aux/conv'),
    (r'aux\.4', 'aux/classifier'),
)
