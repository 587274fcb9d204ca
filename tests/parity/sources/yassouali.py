"""ENet and SegResNet of yassouali/pytorch-segmentation."""

from segjax import models
from segjax.convert.rules.yassouali import enet
from segjax.convert.rules.yassouali import segresnet
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
    'yassouali_segresnet': Case(
        lambda spec: models.create('segresnet', spec['num_classes']),
        segresnet.RULES,
        {
            'logits': returned('logits'),
            'encoder': inside('backbone', 'c5'),
        },
        parts=('backbone',),
        float64=True,
        # Norms at stride 32 see 12 values a channel: computed in float32, ours
        # are 0.06 from those in float64.
        within_train=0.15,
    ),
}
