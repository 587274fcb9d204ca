"""CGNet of mmsegmentation 1.2.2 and of its authors."""

from segjax import models
from segjax.convert.rules.mmseg import cgnet as mmseg
from segjax.convert.rules.wutianyirosun import cgnet as wutianyirosun
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'cgnet': Case(
        lambda spec: models.create('cgnet', spec['num_classes'], slope=0.0),
        mmseg.RULES,
        {
            'logits': inside('classifier'),  # Before they are enlarged.
            'backbone_c4_first32': inside('join2', first=32),
        },
        parts=('join2', 'classifier'),
    ),
    'cgnet_official': Case(
        lambda spec: models.create(
            'cgnet', spec['num_classes'], classifier_bias=False
        ),
        wutianyirosun.RULES,
        {
            'logits': returned('logits'),
            'stride_logits': inside('classifier'),
            'bn_prelu_2_every8': inside('join1', every=8),
            'level3_0_every8': inside('stage2_0', every=8),
            'bn_prelu_3_every8': inside('join2', every=8),
        },
        parts=('join1', 'stage2_0', 'join2', 'classifier'),
    ),
}
