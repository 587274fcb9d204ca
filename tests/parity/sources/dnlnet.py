"""DNLNet of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert.rules.mmseg import dnlnet
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'dnlnet_r50_d8': Case(
        lambda spec: models.create('dnlnet', spec['num_classes'], dropout=0.0),
        dnlnet.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux'),
            'context_first64': inside('attention', first=64),
        },
        parts=('attention', 'classifier', 'aux'),
    ),
}
