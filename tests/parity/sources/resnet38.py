"""ResNet-38 of itijyou/ademxapp, with its head, and of NVIDIA."""

from segjax import backbones
from segjax import models
from segjax.convert.rules.nvidia import resnet38 as a2
from segjax.convert.rules.resnet38 import resnet38 as a1
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'resnet38': Case(
        lambda spec: models.create(
            'resnet38',
            spec['num_classes'],
            backbone=(
                'resnet38/a1(output_stride='
                f'{spec["build"]["inv_resolution"]})'
            ),
        ),
        a1.RULES,
        {
            'res4b5_every32': inside('backbone', 'c3', every=32),
            'res5b2_every32': inside('backbone', 'c4', every=32),
            'relu7_every128': inside('backbone', 'c5', every=128),
            'logits': inside('classifier'),
        },
        parts=('backbone', 'classifier'),
    ),
    'resnet38_nv': Case(
        lambda spec: backbones.build(
            'resnet38/a2', output_stride=8 if spec['build']['dilation'] else 32
        ),
        a2.RULES,
        {
            'out_every32': returned('c5', every=32),
            'mod2_every16': returned('c1', every=16),
            'mod4_every32': returned('c3', every=32),
            'mod5_every32': returned('c4', every=32),
        },
    ),
}
