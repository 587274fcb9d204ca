"""CaC-Net, built from the paper on PyTorch-Encoding."""

from segjax import models
from segjax.convert.rules.zhanghang1989 import cacnet
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'cacnet': Case(
        lambda spec: models.create(
            'cacnet',
            spec['num_classes'],
            side=spec['build']['kernel_size'],
            dilations=tuple(spec['build']['dilations']),
            dropout=0.0,
        ),
        cacnet.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux'),
            'weights_first64': inside('context', 0, first=64),
            'kernels': lambda out, parts: parts['context'][1][:, None],
        },
        parts=('classifier', 'aux', 'context'),
    ),
}
