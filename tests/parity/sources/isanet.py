"""ISANet of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert.rules.mmseg import isanet
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'isanet_r50_d8': Case(
        lambda spec: models.create('isanet', spec['num_classes'], dropout=0.0),
        isanet.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux'),
            'backbone_c4_first64': inside('backbone', 'c5', first=64),
            'in_conv_first32': inside('reduce', first=32),
            'isa_first32': inside('fuse', first=32),
        },
        parts=('backbone', 'reduce', 'fuse', 'classifier', 'aux'),
    ),
}
