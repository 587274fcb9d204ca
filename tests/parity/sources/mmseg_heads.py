"""Systems of mmsegmentation 1.2.2 on ResNets and HRNets."""

from segjax import models
from segjax.convert.rules.mmseg import fcn_dilated
from segjax.convert.rules.mmseg import hrnet
from segjax.convert.rules.mmseg import pspnet
from tests.parity.case import Case
from tests.parity.case import inside

# Before they are enlarged.
SCORES = {
    'backbone_c4_first64': inside('backbone', 'c5', first=64),
    'logits': inside('classifier'),
    'aux_0': inside('aux'),
}

CASES = {
    'fcn_r50_d8': Case(
        lambda spec: models.create(
            'fcn_dilated',
            spec['num_classes'],
            backbone='resnet/50_v1c(output_stride=8)',
            head_convs=2,
            head_concat=True,
            dropout=0.0,
        ),
        fcn_dilated.RULES,
        {**SCORES, 'convs_first32': inside('conv2', first=32)},
        parts=('backbone', 'classifier', 'aux', 'conv2'),
    ),
    'pspnet_r50_d8': Case(
        lambda spec: models.create(
            'pspnet',
            spec['num_classes'],
            backbone='resnet/50_v1c(output_stride=8)',
            dropout=0.0,
        ),
        pspnet.RULES,
        {
            **SCORES,
            'ppm_6_first64': inside('ppm/level3', first=64),
            'bottleneck_first32': inside('fuse', first=32),
        },
        parts=('backbone', 'classifier', 'aux', 'ppm/level3', 'fuse'),
    ),
    'hrnet_w18_fcn': Case(
        lambda spec: models.create(
            'hrnet',
            spec['num_classes'],
            backbone='hrnet/w18(resize_twice=True)',
            fuse_bias=False,
        ),
        hrnet.RULES,
        {
            'backbone_b3': inside('backbone', 'c5'),
            'backbone_b0_first8': inside('backbone', 'c2', first=8),
            'logits': inside('classifier'),
        },
        parts=('backbone', 'classifier'),
        whole=False,
    ),
}
