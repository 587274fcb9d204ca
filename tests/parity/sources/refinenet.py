"""RefineNet of DrSleep/refinenet-pytorch."""

from segjax import models
from segjax.convert.rules.drsleep import refinenet
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'refinenet': Case(
        lambda spec: models.create(
            'refinenet', spec['num_classes'], dropout=0.0
        ),
        refinenet.RULES,
        {
            'logits': inside('classifier'),
            'crp_1': inside('refine_c5/pool'),
            'refine_1': inside('narrow_c4'),
        },
        parts=('classifier', 'refine_c5/pool', 'narrow_c4'),
        whole=False,
    ),
}
