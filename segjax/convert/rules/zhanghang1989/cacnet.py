"""CaC-Net on the backbone and the heads of PyTorch-Encoding."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.zhanghang1989 import resnet

RULES = (
    (r'pretrained\.fc', None),
    *under('pretrained', resnet.RULES, 'backbone'),
    *conv_norm('conv5', 'reduce'),
    (r'cac\.conv_(key|query)', r'context/\1'),
    *conv_norm('gap', 'image'),
    *conv_norm('conv6', 'fuse'),
    (r'cls\.1', 'classifier'),
    *conv_norm(r'auxlayer\.conv5', 'aux/conv'),
    (r'auxlayer\.conv5\.4', 'aux/classifier'),
)
