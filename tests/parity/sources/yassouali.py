"""ENet of yassouali/pytorch-segmentation."""

from segjax import models
from segjax.convert.rules.yassouali import enet
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'yassouali_enet': Case(
        lambda spec: models.create(
            'enet', spec['num_classes'], dropouts=(0.0, 0.0)
        ),
        enet.RULES,
        {
            'logits': returned('logits'),
            'bottleneck38': inside('stage3_7'),
        },
        parts=('stage3_7',),
    ),
}
