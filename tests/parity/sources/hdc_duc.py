"""HDC and DUC of TuSimple and of zijundeng."""

from segjax import models
from segjax.convert.rules.tusimple import hdc_duc as tusimple
from segjax.convert.rules.zijundeng import hdc_duc as zijundeng
from segjax.ops.pixel_shuffle import pixel_shuffle
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'hdc_duc': Case(
        lambda spec: models.create(
            'hdc_duc',
            spec['num_classes'],
            cell_width=spec['build']['cell_width'],
        ),
        tusimple.RULES,
        {
            'conv4_23_every64': inside('backbone', 'c4', every=64),
            'conv5_3_every64': inside('backbone', 'c5', every=64),
            # Before they are enlarged.
            'logits': lambda out, parts: pixel_shuffle(parts['duc'], 4),
        },
        parts=('backbone', 'duc'),
    ),
    'hdc_duc_resnet152': Case(
        lambda spec: models.create(
            'hdc_duc',
            spec['num_classes'],
            backbone='resnet/152(output_stride=8, dilations=(1, 1,'
            ' (1, 2, 5, 9), (5, 9, 17)))',
            rates=(1,),
            cell_width=1,
            norm_scores=True,
        ),
        zijundeng.RULES,
        {
            'layer3_every64': inside('backbone', 'c4', every=64),
            'layer4_every64': inside('backbone', 'c5', every=64),
            'logits': returned('logits'),
        },
        parts=('backbone',),
    ),
}
