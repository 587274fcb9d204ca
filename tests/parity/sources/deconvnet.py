"""DeconvNet by its authors, https://github.com/HyeonwooNoh/DeconvNet."""

from segjax import models
from segjax.convert.rules.caffe import deconvnet
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'deconvnet': Case(
        lambda spec: models.create('deconvnet', spec['num_classes']),
        deconvnet.RULES,
        {
            'fc7': inside('hidden2', every=2),
            'fc6_deconv': inside('spread', every=8),
            'logits_centre': lambda out, _: out['logits'][:, 96:136, 104:144],
            'logits_corner': lambda out, _: out['logits'][:, :24, :24],
        },
        parts=('hidden2', 'spread'),
        ties=0.2,
    ),
}
