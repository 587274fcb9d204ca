"""FC-DenseNet of bfortuner/pytorch_tiramisu."""

import jax

from segjax import models
from segjax.convert.rules.bfortuner import fc_densenet
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def case(variant):
  """The case of one variant."""
  return Case(
      lambda spec: models.create(
          'fc_densenet',
          spec['num_classes'],
          variant=variant,
          epsilon=1e-5,
          dropout=0.0,
      ),
      fc_densenet.RULES,
      {
          'logits': returned('logits'),
          'log_probs_rows_8_15': lambda out, _: jax.nn.log_softmax(
              out['logits'][:, 8:16]
          ),
          'bottleneck': inside('bottleneck', 1),  # The new features.
      },
      parts=('bottleneck',),
  )


CASES = {f'fc_densenet{variant}': case(variant) for variant in ('56', '103')}
