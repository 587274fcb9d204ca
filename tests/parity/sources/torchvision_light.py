"""VGG, DenseNet, MobileNet and systems on MobileNets, of torchvision 0.28."""

from segjax import backbones
from segjax import models
from segjax.convert.rules.torchvision import deeplabv3
from segjax.convert.rules.torchvision import densenet
from segjax.convert.rules.torchvision import lraspp
from segjax.convert.rules.torchvision import mobilenet
from segjax.convert.rules.torchvision import vgg
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def backbone(name):
  """Returns the function from a spec to a backbone."""
  return lambda spec: backbones.build(name, num_classes=spec['num_classes'])


VGG = {
    'pool2_every8': returned('c2', every=8),
    'pool3_every8': returned('c3', every=8),
    'pool4_every8': returned('c4', every=8),
    'pool5': returned('c5'),
}

CASES = {
    'torchvision_vgg16': Case(backbone('vgg/16'), vgg.RULES['16'], VGG),
    'torchvision_vgg16_bn': Case(
        backbone('vgg/16_bn'), vgg.RULES['16_bn'], VGG
    ),
    'torchvision_densenet121': Case(
        backbone('densenet/121'),
        densenet.RULES,
        {
            'denseblock1_every16': returned('c2', every=16),
            'denseblock2_every32': returned('c3', every=32),
            'denseblock3_every64': returned('c4', every=64),
            'denseblock4_every64': inside('block4_16', every=64),
            'features_every16': inside('norm', every=16),
            'class_logits': returned('class_logits'),
        },
        parts=('block4_16', 'norm'),
    ),
    'torchvision_mobilenet_v2': Case(
        backbone('mobilenet/v2'),
        mobilenet.RULES,
        {
            'features0_every8': inside('stem', every=8),
            'features1_every4': returned('c1', every=4),
            'features3_every1': returned('c2'),
            'features6_every2': returned('c3', every=2),
            'features13_every6': returned('c4', every=6),
            'features17_every20': returned('c5', every=20),
            'features18_every80': inside('last', every=80),
            'class_logits': returned('class_logits'),
        },
        parts=('stem', 'last'),
    ),
    'torchvision_mobilenet_v3_large': Case(
        backbone('mobilenet/v3_large'),
        mobilenet.RULES,
        {
            'features0_every4': inside('stem', every=4),
            'features3_every1': returned('c2'),
            'features6_every2': returned('c3', every=2),
            'features12_every7': returned('c4', every=7),
            'features15_every10': inside('block15', every=10),
            'features16_every60': returned('c5', every=60),
            'class_logits': returned('class_logits'),
        },
        parts=('stem', 'block15'),
    ),
    'torchvision_deeplabv3_mobilenet_v3_large': Case(
        lambda spec: models.create(
            'deeplabv3',
            spec['num_classes'],
            backbone='mobilenet/v3_large(output_stride=16)',
            rates=(12, 24, 36),
            aux_level='c3_first',
            dropout=0.0,
        ),
        deeplabv3.RULES,
        {
            'logits': returned('logits'),
            'aux_0': returned('aux', 'c3_first'),
            'backbone_every60': inside('backbone/last', every=60),
        },
        parts=('backbone/last',),
    ),
    'torchvision_lraspp_mobilenet_v3_large': Case(
        lambda spec: models.create('lraspp', spec['num_classes']),
        lraspp.RULES,
        {
            'logits': returned('logits'),
            'backbone_every60': inside('backbone/last', every=60),
        },
        parts=('backbone/last',),
    ),
}
