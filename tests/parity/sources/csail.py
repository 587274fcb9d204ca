"""Systems of CSAIL's semantic-segmentation-pytorch."""

from segjax import models
from segjax.convert.rules.csail import pspnet
from segjax.convert.rules.csail import upernet
from tests.parity.case import Case
from tests.parity.case import inside

# Logits are compared before they are enlarged.
OUTPUTS = {
    'backbone_c4_first64': inside('backbone', 'c5', first=64),
    'logits': inside('classifier'),
}

CASES = {
    'csail_ppm_deepsup': Case(
        lambda spec: models.create(
            'pspnet',
            spec['num_classes'],
            backbone='resnet/50_v1s(output_stride=8)',
            aux_features=512,
            dropout=0.0,
        ),
        pspnet.RULES,
        {**OUTPUTS, 'aux_0': inside('aux')},
        parts=('backbone', 'classifier', 'aux'),
    ),
    'csail_upernet': Case(
        lambda spec: models.create(
            'upernet',
            spec['num_classes'],
            backbone='resnet/50_v1s',
            enlarge_first=True,
            dropout=0.0,
            aux_level='',
        ),
        upernet.RULES,
        OUTPUTS,
        parts=('backbone', 'classifier'),
    ),
}
