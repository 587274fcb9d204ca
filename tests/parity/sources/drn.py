"""DRN of fyu/drn, with the head of its `segment.py`."""

import jax

from segjax import models
from segjax.convert import rules
from tests.parity.case import Case
from tests.parity.case import inside


def log_probs(out, parts):
  """The whole output of the original, before it is cut to the image."""
  del out
  return jax.nn.log_softmax(parts['upsample'])


def segmenter(variant):
  backbone = f'drn/{variant}'
  return Case(
      lambda spec: models.create('drn', spec['num_classes'], backbone=backbone),
      rules.find('drn', 'drn', backbone),
      {
          'logits': inside('classifier'),
          'base_every8': inside('backbone', 'c5', every=8),
          'log_probs': log_probs,
      },
      parts=('backbone', 'classifier', 'upsample'),
  )


CASES = {
    f'drn_{variant}': segmenter(variant) for variant in ('c_26', 'd_22', 'd_54')
}
