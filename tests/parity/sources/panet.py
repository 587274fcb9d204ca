"""PAN of JaveyWang/Pyramid-Attention-Networks-pytorch."""

from segjax import models
from segjax.convert.rules.javeywang import panet
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'panet': Case(
        lambda spec: models.create('panet', spec['num_classes']),
        panet.RULES,
        {
            'logits': inside('classifier'),
            'image_logits': returned('image_logits'),
            'fpa': inside('pyramid/up2/layer/norm'),
        },
        parts=('classifier', 'pyramid/up2/layer/norm'),
        whole=False,
    ),
}
