"""Panoptic-DeepLab from DeepLab2, on ResNet-50-Beta.

Fields: `backbone='resnet/50_beta', image_norm=True, levels=('c3', 'c2'),
low_features=(64, 32), instance_low_features=(32, 16), dropout=0.1,
epsilon=1e-3, momentum=0.99`.
"""

from segjax.convert.rules import deeplab2
from segjax.convert.rules import under
from segjax.convert.rules.deeplab2 import resnet

RULES = (
    *deeplab2.panoptic_outputs(),
    # The name of a backbone lies beside those of the decoders.
    *under('', resnet.RULES, 'backbone'),
)
