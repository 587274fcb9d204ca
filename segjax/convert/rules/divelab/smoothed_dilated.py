"""Smoothed dilated convolutions from divelab, with DeepLabv2's layers.

The option `smoothing` of the backbone is 'interaction' for their `smooth_GI`
and 'separable' for `smooth_SSC`. It sees BGR from 0 to 255, minus the mean
(122.675, 116.669, 104.008).
"""

from segjax.convert.rules import under
from segjax.convert.rules.msracver import resnet

RULES = (
    (r'global_step|.*/Momentum', None),
    *(  # Its name has the separator of TensorFlow, or of PyTorch.
        (
            rf'res{block}_branch2b[/.]fix_w',
            f'backbone/{target}/conv2/conv/smoothing',
        )
        for block, target in resnet.BLOCKS.items()
    ),
    *under('', resnet.LAYERS, 'backbone'),
    (r'fc1_voc12_c(\d)', r'aspp/atrous\1'),
)
