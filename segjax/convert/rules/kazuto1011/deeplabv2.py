"""DeepLabv2 from kazuto1011, `deeplabv2_resnet101_msc-vocaug` and others.

They see BGR from 0 to 255, minus the mean. Those for COCO-Stuff have scores for
182 classes, of which 171 occur.
"""

from segjax.convert.rules import under
from segjax.convert.rules.kazuto1011 import resnet

RULES = (
    *under('base', resnet.RULES, 'backbone'),
    (r'base\.aspp\.c(\d)', r'aspp/atrous\1'),
)
