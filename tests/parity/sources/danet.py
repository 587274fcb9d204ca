"""DANet of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert.rules.mmseg import danet
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'danet_r50_d8': Case(
        lambda spec: models.create('danet', spec['num_classes'], dropout=0.0),
        danet.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux'),
            'pam_logits': inside('position_classifier'),
            'cam_logits': inside('channel_classifier'),
            'context_first64': inside('channel/attention', first=64),
        },
        parts=(
            'classifier',
            'aux',
            'position_classifier',
            'channel_classifier',
            'channel/attention',
        ),
    ),
}
