"""Smoothed dilated convolutions of divelab."""

from segjax import models
from segjax.convert.rules.divelab import smoothed_dilated
from tests.parity.case import Case
from tests.parity.case import inside


def case(smoothing):
  return Case(
      lambda spec: models.create(
          'smoothed_dilated',
          spec['num_classes'],
          backbone=f'resnet/101_tf(output_stride=8, smoothing={smoothing!r})',
      ),
      smoothed_dilated.RULES,
      {
          'res4a_branch2b_every16': inside(
              'backbone/stage3_0/conv2/conv', every=16
          ),
          'res5c_every64': inside('backbone', 'c5', every=64),
          # Before they are enlarged.
          'logits': inside('aspp'),
      },
      parts=('backbone/stage3_0/conv2/conv', 'backbone', 'aspp'),
  )


CASES = {
    'smoothed_dilated_gi': case('interaction'),
    'smoothed_dilated_ssc': case('separable'),
}
