"""Axial ResNets from DeepLab2: the backbones of its panoptic systems."""

from segjax.convert.rules import deeplab2

RULES = deeplab2.backbone()
