"""DeepLabv3+ from jfzhang95: `DeepLab`, by the family of its backbone.

Their fields: `separable=False, image_first=False`, on
'xception/65_jfzhang(output_stride=16)',
'mobilenet/v2_jfzhang(output_stride=16)',
'resnet/101(output_stride=16, multi_grid=(1, 2, 4))', or 'drn/d_54' with
`rates=(12, 24, 36)`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.drn import backbone as drn
from segjax.convert.rules.jfzhang import mobilenet
from segjax.convert.rules.jfzhang import xception
from segjax.convert.rules.torchvision import resnet

_HEAD = (
    *conv_norm(r'aspp\.aspp1', 'aspp/point', 'atrous_conv', 'bn'),
    *conv_norm(r'aspp\.aspp2', 'aspp/atrous1', 'atrous_conv', 'bn'),
    *conv_norm(r'aspp\.aspp3', 'aspp/atrous2', 'atrous_conv', 'bn'),
    *conv_norm(r'aspp\.aspp4', 'aspp/atrous3', 'atrous_conv', 'bn'),
    *conv_norm(r'aspp\.global_avg_pool', 'aspp/image', '1', '2'),
    *conv_norm('aspp', 'aspp/project', 'conv1', 'bn1'),
    *conv_norm('decoder', 'low', 'conv1', 'bn1'),
    *conv_norm(r'decoder\.last_conv', 'refine1', '0', '1'),
    *conv_norm(r'decoder\.last_conv', 'refine2', '4', '5'),
    (r'decoder\.last_conv\.8', 'classifier'),
)

RULES = {
    'resnet': (*under('backbone', resnet.RULES), *_HEAD),
    'xception': (*under('backbone', xception.RULES), *_HEAD),
    'mobilenet': (*under('backbone', mobilenet.RULES), *_HEAD),
    'drn': (*under('backbone', drn.RULES), *_HEAD),
}
