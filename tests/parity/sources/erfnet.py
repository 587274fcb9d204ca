"""ERFNet of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert.rules.mmseg import erfnet
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'erfnet': Case(
        lambda spec: models.create(
            'erfnet', spec['num_classes'], dropouts=(0.0, 0.0), dropout=0.0
        ),
        erfnet.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'feat0_every1': inside('stage5_1'),
        },
        parts=('stage5_1', 'classifier'),
    ),
}
