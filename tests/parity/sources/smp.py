"""segmentation_models_pytorch 0.6.0, on ResNet-18."""

from segjax import models
from segjax.convert import rules
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'smp_unet_resnet18': Case(
        lambda spec: models.create(
            'unet_backbone', spec['num_classes'], backbone='resnet/18'
        ),
        rules.find('smp', 'unet_backbone', 'resnet/18'),
        {
            'logits': returned('logits'),
            'decoder_0': inside('up4'),
        },
        parts=('up4',),
    ),
}
