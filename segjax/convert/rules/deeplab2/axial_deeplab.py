"""Axial-DeepLab from DeepLab2, on its axial ResNets."""

from segjax.convert.rules import deeplab2
from segjax.convert.rules import under
from segjax.convert.rules.deeplab2 import axial_resnet

RULES = (
    *deeplab2.panoptic_outputs(rates=False),
    # The name of a backbone lies beside those of the decoders.
    *under('', axial_resnet.RULES, 'backbone'),
)
