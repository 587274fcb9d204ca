"""Light-Weight RefineNets of DrSleep/light-weight-refinenet."""

from segjax import models
from segjax.convert.rules.drsleep import lw_refinenet
from tests.parity.case import Case
from tests.parity.case import inside


def case(family, outputs, **fields):
  return Case(
      lambda spec: models.create(
          'lw_refinenet', spec['num_classes'], dropout=0.0, **fields
      ),
      lw_refinenet.RULES[family],
      {'logits': inside('classifier'), **outputs},
      parts=('classifier', 'pool_c5'),
      whole=False,
  )


CASES = {
    'lw_refinenet': case('resnet', {'crp_1': inside('pool_c5')}),
    'lw_refinenet_mbv2': case(
        'mobilenet',
        {'crp_4': inside('pool_c5')},
        backbone='mobilenet/v2_drsleep',
        mobile=True,
        top_features=256,
    ),
}
