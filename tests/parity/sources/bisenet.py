"""BiSeNet and BiSeNetV2 of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert.rules.mmseg import bisenetv1
from segjax.convert.rules.mmseg import bisenetv2
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'bisenetv1_r18': Case(
        lambda spec: models.create(
            'bisenetv1', spec['num_classes'], dropout=0.0
        ),
        bisenetv1.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux_c3'),
            'aux_1': inside('aux_c4'),
            'ffm_first64': inside('fusion', first=64),
            'c16_first32': inside('context', 'c3', first=32),
        },
        parts=('context', 'fusion', 'classifier', 'aux_c3', 'aux_c4'),
    ),
    'bisenetv2': Case(
        lambda spec: models.create(
            'bisenetv2', spec['num_classes'], dropout=0.0
        ),
        bisenetv2.RULES,
        {
            'logits': inside('classifier'),
            **{f'aux_{i}': inside(f'aux_stage{i + 1}') for i in range(4)},
            'feat0_every8': inside('aggregation', every=8),
        },
        parts=(
            *('aggregation', 'classifier'),
            *(f'aux_stage{i}' for i in range(1, 5)),
        ),
    ),
}
