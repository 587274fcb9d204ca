"""Deformable DeepLab from msracver, `deeplab_dcn_cityscapes` and of VOC.

It sees BGR from 0 to 255, minus the mean (123.15, 115.90, 103.06) of RGB.
"""

from segjax.convert.rules import under
from segjax.convert.rules.msracver import resnet

RULES = (
    ('fc6', 'reduce'),
    ('score', 'classifier'),
    ('upsampling', 'upsample'),
    *under('', resnet.RULES, 'backbone'),
)
