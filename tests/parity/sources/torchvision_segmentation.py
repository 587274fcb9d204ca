"""Systems of torchvision 0.28 on ResNets, https://github.com/pytorch/vision."""

from segjax import models
from segjax.convert.rules.torchvision import deeplabv3
from segjax.convert.rules.torchvision import fcn_dilated
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def case(system, backbone, rules, **fields):
  return Case(
      lambda spec: models.create(
          system,
          spec['num_classes'],
          backbone=f'{backbone}(output_stride=8)',
          dropout=0.0,
          **fields,
      ),
      rules,
      {
          'logits': returned('logits'),
          'aux_0': returned('aux', 'c4'),
          'backbone_every128': inside('backbone', 'c5', every=128),
      },
      parts=('backbone',),
  )


CASES = {
    'torchvision_fcn_resnet50': case(
        'fcn_dilated', 'resnet/50', fcn_dilated.RULES
    ),
    'torchvision_fcn_resnet101': case(
        'fcn_dilated', 'resnet/101', fcn_dilated.RULES
    ),
    'torchvision_deeplabv3_resnet50': case(
        'deeplabv3', 'resnet/50', deeplabv3.RULES, rates=(12, 24, 36)
    ),
    'torchvision_deeplabv3_resnet101': case(
        'deeplabv3', 'resnet/101', deeplabv3.RULES, rates=(12, 24, 36)
    ),
}
