"""PSPNet by its author, https://github.com/hszhao/semseg."""

from segjax import models
from segjax.convert.rules.semseg import pspnet
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'pspnet_semseg_r50': Case(
        lambda spec: models.create(
            'pspnet',
            spec['num_classes'],
            backbone='resnet/50_v1s(output_stride=8, dilate_first=True)',
            align_corners=True,
            dropout=0.0,
        ),
        pspnet.RULES,
        {
            'backbone_c4_first64': inside('backbone', 'c5', first=64),
            'ppm_last32': lambda out, parts: parts['ppm'][..., -32:],
            'logits': inside('classifier'),
            'aux_0': inside('aux'),
        },
        parts=('backbone', 'ppm', 'classifier', 'aux'),
    ),
}
