"""STDC-Seg of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert.rules.mmseg import stdc
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'stdc1': Case(
        lambda spec: models.create('stdc', spec['num_classes'], dropout=0.0),
        stdc.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux_c3'),
            'aux_1': inside('aux_c4'),
            'aux_2': inside('detail'),
            'feat3_every16': inside('fusion', every=16),
        },
        parts=('fusion', 'classifier', 'aux_c3', 'aux_c4', 'detail'),
    ),
}
