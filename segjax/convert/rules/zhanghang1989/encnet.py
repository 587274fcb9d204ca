"""EncNet from PyTorch-Encoding, `encnet_resnet50s_ade` and others.

Their fields: `align_corners=True` on 'resnet/50_v1s(output_stride=8)', and
`lateral=True` for Pascal Context and COCO.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.zhanghang1989 import resnet

ENCODING = r'head\.encmodule\.encoding'

RULES = (
    (r'pretrained\.fc', None),
    *under('pretrained', resnet.RULES, 'backbone'),
    *conv_norm(r'head\.conv5', 'reduce'),
    *conv_norm(r'head\.connect\.0', 'lateral_c3'),
    *conv_norm(r'head\.connect\.1', 'lateral_c4'),
    *conv_norm(r'head\.fusion', 'fuse'),
    *conv_norm(ENCODING, 'encoding/project'),
    (rf'{ENCODING}\.3\.(codewords|scale)', r'encoding/residuals/\1'),
    (rf'{ENCODING}\.4', 'encoding/norm'),
    (r'head\.encmodule\.fc\.0', 'encoding/gate'),
    (r'head\.encmodule\.selayer', 'presence'),
    (r'head\.conv6\.1', 'classifier'),
    *conv_norm(r'auxlayer\.conv5', 'aux/conv'),
    (r'auxlayer\.conv5\.4', 'aux/classifier'),
)
