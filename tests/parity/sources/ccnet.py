"""CCNet of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert.rules.mmseg import ccnet
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'ccnet_r50_d8': Case(
        lambda spec: models.create('ccnet', spec['num_classes'], dropout=0.0),
        ccnet.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux'),
            'context_first64': inside('attention', 1, first=64),
        },
        parts=('attention', 'classifier', 'aux'),
    ),
}
