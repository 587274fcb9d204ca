"""SFNet of its authors."""

from segjax import models
from segjax.convert.rules.lxtgh import sfnet
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'sfnet': Case(
        lambda spec: models.create('sfnet', spec['num_classes'], dropout=0.0),
        sfnet.RULES,
        {
            'logits': returned('logits'),
            # Before they are enlarged.
            'logits_s4': inside('classifier'),
            'aux_0': inside('aux_c4'),
            'aux_1': inside('aux_c3'),
            'aux_2': inside('aux_c2'),
            'ppm': inside('context'),
            'flow_4': inside('align_c4/flow'),
        },
        parts=(
            'classifier',
            'aux_c4',
            'aux_c3',
            'aux_c2',
            'context',
            'align_c4/flow',
        ),
    ),
}
