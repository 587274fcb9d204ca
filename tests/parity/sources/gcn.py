"""GCN of zijundeng/pytorch-semantic-segmentation."""

from segjax import models
from segjax.convert.rules.zijundeng import gcn
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'gcn': Case(
        lambda spec: models.create(
            'gcn', spec['num_classes'], kernel=spec['build']['kernel_size']
        ),
        gcn.RULES,
        {
            'logits': returned('logits'),
            'gcm1': inside('score_c5'),
            'brm7': inside('refine_sum_c2'),
        },
        parts=('score_c5', 'refine_sum_c2'),
        whole=False,
    ),
}
