"""GCNet of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert.rules.mmseg import gcnet
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'gcnet_r50_d8': Case(
        lambda spec: models.create('gcnet', spec['num_classes'], dropout=0.0),
        gcnet.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux'),
            'context_first64': inside('context', first=64),
        },
        parts=('context', 'classifier', 'aux'),
    ),
}
