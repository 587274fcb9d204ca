"""DeepLabv3+ of https://github.com/jfzhang95/pytorch-deeplab-xception."""

from segjax import models
from segjax.convert import rules
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def case(backbone, **fields):
  return Case(
      lambda spec: models.create(
          'deeplabv3plus',
          spec['num_classes'],
          backbone=backbone,
          separable=False,
          image_first=False,
          dropout=(0.0, 0.0, 0.0),
          **fields,
      ),
      rules.find('jfzhang', 'deeplabv3plus', backbone),
      {
          'backbone_every64': inside('backbone', 'c5', every=64),
          'low_level_every8': inside('backbone', 'c2', every=8),
          'aspp_every8': inside('aspp', every=8),
          'logits': returned('logits'),
      },
      parts=('backbone', 'aspp'),
  )


CASES = {
    'deeplab_resnet_jfzhang': case(
        'resnet/101(output_stride=16, multi_grid=(1, 2, 4))'
    ),
    'xception65_deeplabv3plus': case('xception/65_jfzhang(output_stride=16)'),
    'deeplab_mobilenet_jfzhang': case('mobilenet/v2_jfzhang(output_stride=16)'),
    'deeplab_drn_jfzhang': case('drn/d_54', rates=(12, 24, 36)),
}
