"""ENet, SegResNet, and HDC with DUC of yassouali/pytorch-segmentation."""

from segjax import models
from segjax.convert.rules.yassouali import enet
from segjax.convert.rules.yassouali import hdc_duc
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
    'yassouali_duc_hdc': Case(
        lambda spec: models.create(
            'hdc_duc',
            spec['num_classes'],
            backbone='resnet/101(output_stride=8, dilations='
            f'(1, 1, {(1, 2, 3) * 7 + (2, 2)}, (3, 4, 5)))',
            rates=(6, 12, 18, 24, 36),
            decoder=True,
            dropout=(0.0, 0.0),
        ),
        hdc_duc.RULES,
        {
            'logits': returned('logits'),
            'aspp': inside('decoder/aspp'),
        },
        parts=('decoder/aspp',),
        float64=True,
        # The norm of the image's mean sees two values a channel.
        within_train=0.1,
    ),
}
