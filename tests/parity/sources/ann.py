"""ANN of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert.rules.mmseg import ann
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'ann_r50_d8': Case(
        lambda spec: models.create('ann', spec['num_classes'], dropout=0.0),
        (
            # The fixture draws the second name of the shared projection apart,
            # and the original computes with the first one's values.
            (r'decode_head\.context\.stages\.0\.key_project\..*', None),
            *ann.RULES,
        ),
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux'),
            'backbone_c4_first64': inside('backbone', 'c5', first=64),
            'afnb_first32': inside('fusion', first=32),
            'apnb_first32': inside('context', first=32),
        },
        parts=('backbone', 'fusion', 'context', 'classifier', 'aux'),
    ),
}
