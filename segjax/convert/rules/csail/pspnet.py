"""PSPNet's pyramid with an auxiliary loss from CSAIL, `ppm_deepsup`.

Its fields: `backbone='resnet/50_v1s(output_stride=8)', aux_features=512`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.csail import resnet

RULES = (
    *under('encoder', resnet.RULES, 'backbone'),
    *conv_norm(r'decoder\.ppm\.(\d)', r'ppm/level\1', '1', '2'),
    *conv_norm(r'decoder\.conv_last', 'fuse'),
    (r'decoder\.conv_last\.4', 'classifier'),
    *conv_norm(r'decoder\.cbr_deepsup', 'aux/conv'),
    (r'decoder\.conv_last_deepsup', 'aux/classifier'),
)
