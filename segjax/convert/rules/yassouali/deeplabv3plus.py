"""DeepLabv3+ from pytorch-segmentation, `DeepLab` on ResNets.

Fields: `separable=False, image_first=False, dropout=(0.5, 0.0, 0.1)` on
'resnet/101(output_stride=16, dilate_first=True)'; at output stride 8 with
`rates=(12, 24, 36)`. Its Xception is not here: it hands the decoder features
that have not passed a ReLU.
"""

from segjax.convert.joints import permuted
from segjax.convert.rules.yassouali import hdc_duc
from segjax.convert.rules.yassouali import resnet_rules

# The 48 channels of stride 4 come first there, before the other 256.
LOW, GROUPS = 48 // 16, (48 + 256) // 16

RULES = (
    *resnet_rules('backbone', 'layer0'),
    *hdc_duc.ASPP,
    *hdc_duc.DECODER,
    permuted('refine1/conv', 'kernel', (*range(LOW, GROUPS), *range(LOW))),
)
