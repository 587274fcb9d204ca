"""Xception of timm 1.0.31, and of TensorFlow's DeepLab, rebuilt in PyTorch."""

from segjax import backbones
from segjax import models
from segjax.convert.rules.tf import deeplabv3plus
from segjax.convert.rules.timm import xception
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'timm_xception65': Case(
        lambda spec: backbones.build(
            'xception/65',
            output_stride=spec['build']['output_stride'],
            num_classes=spec['num_classes'],
        ),
        xception.RULES,
        {
            'block0_every8': inside('block0', 0, every=8),
            'tap1_every16': returned('c2', every=16),
            'block2_every45': inside('block2', 0, every=45),
            'block10_every45': inside('block10', 0, every=45),
            'block19_every64': inside('block19', 0, every=64),
            'block20_every128': returned('c5', every=128),
            'class_logits': returned('class_logits'),
        },
        parts=('block0', 'block2', 'block10', 'block19'),
    ),
    'deeplabv3plus_xception65_tf': Case(
        lambda spec: models.create(
            'deeplabv3plus',
            spec['num_classes'],
            backbone='xception/65(output_stride={})'.format(
                spec['build']['output_stride']
            ),
            rates=tuple(spec['build']['atrous_rates']),
            dropout=(0.0, 0.0, 0.0),
        ),
        deeplabv3plus.RULES,
        {
            'stride_logits': inside('classifier'),
            'backbone_every64': inside('backbone', 'c5', every=64),
            'low_level_every16': inside('backbone', 'c2', every=16),
            'aspp_every16': inside('aspp', every=16),
            'logits': returned('logits'),
        },
        parts=('classifier', 'backbone', 'aspp'),
    ),
}
