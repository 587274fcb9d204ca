"""Hierarchical multi-scale attention from NVIDIA/semantic-segmentation.

Of its networks it is `ocrnet.HRNet_Mscale`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.hrnet import backbone
from segjax.convert.rules.hrnet import ocrnet

RULES = (
    *under('backbone', backbone.RULES, 'network/backbone'),
    *under('ocr', ocrnet.HEADS, 'network'),
    *conv_norm('scale_attn', 'network/attention/conv1', 'conv0', 'bn0'),
    *conv_norm('scale_attn', 'network/attention/conv2', 'conv1', 'bn1'),
    (r'scale_attn\.conv2', 'network/attention/weight'),
)
