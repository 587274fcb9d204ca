"""DeepLabv3 and v3+ of mmsegmentation 1.2.2; logits before they are resized."""

from segjax import models
from segjax.convert import rules
from tests.parity.case import Case
from tests.parity.case import inside


def case(system, backbone, outputs, dropout, **fields):
  return Case(
      lambda spec: models.create(
          system,
          spec['num_classes'],
          backbone=f'{backbone}(output_stride=8)',
          rates=(12, 24, 36),
          features=512,
          project_kernel=3,
          dropout=dropout,
          **fields,
      ),
      rules.find('mmseg', system, backbone),
      {
          'backbone_c4_first64': inside('backbone', 'c5', first=64),
          'logits': inside('classifier'),
          'aux_0': inside('aux'),
          **outputs,
      },
      parts=('backbone', 'classifier', 'aux', 'aspp', 'aspp/image')
      + ('aspp/atrous1',),
  )


V3_PLUS = dict(dropout=(0.0, 0.0, 0.0), align_corners=False, aux_features=256)

CASES = {
    'deeplabv3_r50_d8': case(
        'deeplabv3',
        'resnet/50_v1c',
        {
            'image_pool': inside('aspp/image'),
            'aspp_12_first32': inside('aspp/atrous1', first=32),
            'aspp_first32': inside('aspp', first=32),
        },
        dropout=0.0,
        image_first=True,
        fuse=False,
    ),
    'deeplabv3plus_r50_d8': case(
        'deeplabv3plus',
        'resnet/50_v1c',
        {
            'aspp_12_first16': inside('aspp/atrous1', first=16),
            'aspp_first16': inside('aspp', first=16),
        },
        **V3_PLUS,
    ),
    'deeplabv3plus_mobilenetv2': case(
        'deeplabv3plus',
        'mobilenet/v2_mmseg',
        {'aspp_first16': inside('aspp', first=16)},
        **V3_PLUS,
    ),
}
