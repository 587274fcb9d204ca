"""Fast-SCNN of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert.rules.mmseg import fast_scnn
from tests.parity.case import Case
from tests.parity.case import inside

PARTS = {
    # Before they are enlarged.
    'logits': inside('classifier'),
    'aux_0': inside('aux_deep'),
    'aux_1': inside('aux_fine'),
    'feat0_every4': inside('downsample', every=4),
    'feat1_every8': inside('extractor', every=8),
    'feat2_every8': inside('fusion', every=8),
}

CASES = {
    'fast_scnn': Case(
        lambda spec: models.create(
            'fast_scnn', spec['num_classes'], dropout=0.0
        ),
        fast_scnn.RULES,
        PARTS,
        parts=(
            *('downsample', 'extractor', 'fusion'),
            *('classifier', 'aux_deep', 'aux_fine'),
        ),
    ),
}
