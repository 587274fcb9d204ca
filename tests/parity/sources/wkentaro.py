"""FCN of https://github.com/wkentaro/pytorch-fcn."""

from segjax import models
from segjax.convert.rules.wkentaro import fcn
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

HEADS = {
    'score_fr': 'score_fc7',
    'score_pool4': 'score_c4',
    'score_pool3': 'score_c3',
    'upscore2': 'upsample_fc7',
    'upscore_pool4': 'upsample_c4',
}


def case(stride, *inner):
  """A case with the outputs of some parts of the head."""
  paths = {name: f'head/{HEADS[name]}' for name in inner}
  return Case(
      lambda spec: models.create('fcn', spec['num_classes'], stride=stride),
      fcn.RULES,
      {
          'logits': returned('logits'),
          **{name: inside(path) for name, path in paths.items()},
      },
      parts=tuple(paths.values()),
  )


CASES = {
    'fcn32s_vgg16': case(32, 'score_fr'),
    'fcn16s_vgg16': case(16, 'score_fr', 'upscore2', 'score_pool4'),
    'fcn8s_vgg16': case(
        8, 'score_fr', 'score_pool4', 'upscore_pool4', 'score_pool3'
    ),
}
