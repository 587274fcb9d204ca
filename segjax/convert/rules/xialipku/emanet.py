"""EMANet from its author.

Its fields: `unit_mean=False, join=False, align_corners=True, aux_level=''` on
'resnet/101_v1s(output_stride=8, multi_grid=(0, 2, 4))'.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.xialipku import resnet

RULES = (
    *under('extractor', resnet.RULES, 'backbone'),
    *conv_norm('fc0', 'reduce', 'conv', 'bn'),
    (r'emau\.conv1', 'unit/project'),
    (r'emau\.mu', 'moving/unit/attention/bases'),
    *conv_norm(r'emau\.conv2', 'unit/rebuilt'),
    *conv_norm(r'fc1\.0', 'bottleneck', 'conv', 'bn'),
    ('fc2', 'classifier'),
)
