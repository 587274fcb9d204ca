"""DeepLabv2 of kazuto1011/deeplab-pytorch; scores before they are enlarged."""

from segjax import models
from segjax.backbones import resnet
from segjax.convert.rules.kazuto1011 import deeplabv2 as rules
from segjax.models import deeplabv2
from segjax.ops.resize import rescale
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'deeplabv2_r101': Case(
        lambda spec: models.create('deeplabv2', spec['num_classes']),
        rules.RULES,
        {
            'layer1': lambda out, parts: resnet.pool(
                parts['backbone'][0]['c1'], ceil=True
            )[..., ::4],
            'input_s050': lambda out, parts: rescale(parts['image'], 0.5),
            'layer5': inside('backbone', 0, 'c5', every=32),
            'logits_s100': inside('aspp', 0),
            'logits_s050': inside('aspp', 1),
            'logits_s075': inside('aspp', 2),
            'logits': lambda out, parts: deeplabv2.largest(parts['aspp']),
        },
        parts=('backbone', 'aspp'),
    ),
}
