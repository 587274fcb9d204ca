"""HRNet by its authors, https://github.com/HRNet."""

from segjax import models
from segjax.convert.rules.hrnet import hrnet as rules
from segjax.layers.levels import join_levels
from tests.parity.case import Case
from tests.parity.case import inside

CASES = {
    'hrnet_v2_w18s_official': Case(
        lambda spec: models.create(
            'hrnet', spec['num_classes'], backbone='hrnet/w18_small'
        ),
        rules.RULES,
        {
            'logits': inside('classifier'),
            'features_every10': (
                lambda out, parts: join_levels(parts['backbone'])[..., ::10]
            ),
        },
        parts=('backbone', 'classifier'),
    ),
}
