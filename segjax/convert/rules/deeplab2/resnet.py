"""ResNet-50-Beta from DeepLab2: 'resnet/50_beta'."""

from segjax.convert.rules import deeplab2

RULES = deeplab2.backbone(shift=1)
