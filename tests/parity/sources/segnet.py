"""SegNet by its authors, https://github.com/alexgkendall/SegNet-Tutorial."""

from segjax import models
from segjax.convert.rules.caffe import segnet
from segjax.convert.rules.caffe import segnet_basic
from segjax.ops.unpool import max_pool
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'segnet': Case(
        lambda spec: models.create('segnet', spec['num_classes']),
        segnet.RULES,
        {
            'pool5': lambda out, parts: parts['backbone'][0],
            'conv5_1_D': inside('decoder/conv5_3'),
            'logits': returned('logits'),
        },
        parts=('backbone', 'decoder/conv5_3'),
    ),
    'segnet_basic': Case(
        lambda spec: models.create('segnet_basic', spec['num_classes']),
        segnet_basic.RULES,
        {
            'norm': inside('norm'),
            'pool4': lambda out, parts: max_pool(parts['encode4'])[0],
            'logits': returned('logits'),
        },
        parts=('norm', 'encode4'),
    ),
}
