"""segmentation_models_pytorch 0.6.0, on ResNet-18."""

from segjax import models
from segjax.convert import rules
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def case(system, outputs, backbone='resnet/18', parts=(), **fields):
  """Returns the case of a system with the rules of this source."""
  return Case(
      lambda spec: models.create(
          system, spec['num_classes'], backbone=backbone, **fields
      ),
      rules.find('smp', system, backbone),
      {'logits': returned('logits'), **outputs},
      parts=parts,
  )


CASES = {
    'smp_unet_resnet18': case(
        'unet_backbone', {'decoder_0': inside('up4')}, parts=('up4',)
    ),
    'scse_unet': case(
        'unet_backbone',
        {'decoder_0': inside('up4'), 'scse_0': inside('up4/scse1')},
        parts=('up4', 'up4/scse1'),
        scse='sum',
    ),
    'smp_linknet_resnet18': case(
        'linknet',
        # There the skip is added within the block.
        {
            'decoder_0': lambda _, parts: parts['up_c4']
            + parts['backbone']['c4']
        },
        parts=('backbone', 'up_c4'),
        variant='smp',
    ),
    'smp_unetplusplus_resnet18': case(
        'unetplusplus', {'x_0_0': inside('node4_1')}, parts=('node4_1',)
    ),
    'smp_manet_resnet18': case(
        'manet',
        {'pab': inside('attention'), 'mfab_0': inside('up4')},
        parts=('attention', 'up4'),
    ),
}
