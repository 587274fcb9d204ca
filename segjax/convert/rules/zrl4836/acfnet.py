"""ACFNet from zrl4836/ACFNet.

Its fields: `raw_scores=True` on 'resnet/101_v1s(output_stride=8,
dilate_first=True, ceil_pool=True, absolute_scale=True,
channel_attention=True)'.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

BACKBONE = (
    (r'conv(\d)', r'stem\1/conv'),
    (r'bn(\d)', r'stem\1/norm'),
    (r'layer(\d)\.(\d+)\.eca\.conv', r'stage\1_\2/attention/conv'),
    *resnet.STAGES,
)

RULES = (
    *under('', BACKBONE, 'backbone'),
    *conv_norm(r'aspp\.b0', 'aspp/point'),
    *conv_norm(r'aspp\.b([1-3])', r'aspp/atrous\1'),
    *conv_norm(r'aspp\.b4\.gap', 'aspp/image', '1', '2'),
    *conv_norm('dsn', 'coarse/reduce'),
    *conv_norm('dsn', 'coarse/conv', '4', '5'),
    (r'dsn\.8', 'coarse/classifier'),
    *conv_norm(r'acfhead\.acf\.conv1', 'context/reduce'),
    (r'acfhead\.acf\.conv2', 'context/project'),
    *conv_norm('bottleneck', 'fuse'),
    (r'bottleneck\.3', 'classifier'),
    *conv_norm(r'auxlayer\.conv5', 'aux/conv'),
    (r'auxlayer\.conv5\.4', 'aux/classifier'),
)
