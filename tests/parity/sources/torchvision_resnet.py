"""ResNets of torchvision 0.28, https://github.com/pytorch/vision."""

from flax import linen as nn

from segjax import backbones
from segjax.convert.rules.torchvision import resnet
from tests.parity.case import Case
from tests.parity.case import returned


def stem(out, parts):
  pooled = nn.max_pool(out['c1'], (3, 3), (2, 2), ((1, 1), (1, 1)))
  return pooled[..., ::16]


def case(name, **fields):
  return Case(
      lambda spec: backbones.build(
          name, num_classes=spec['num_classes'], **fields
      ),
      resnet.RULES,
      {
          'stem_every16': stem,
          **{
              f'layer{level - 1}_every{step}': returned(f'c{level}', every=step)
              for level in (2, 3, 4, 5)
              for step in (8, 16, 32, 64)
          },
          'class_logits': returned('class_logits'),
      },
  )


CASES = {
    'torchvision_resnet18': case('resnet/18'),
    'torchvision_resnet50': case('resnet/50'),
    'torchvision_resnet101': case('resnet/101'),
    'torchvision_resnet50_os16': case('resnet/50', output_stride=16),
    'torchvision_resnet50_os8': case('resnet/50', output_stride=8),
    'torchvision_resnet101_os8': case('resnet/101', output_stride=8),
    'torchvision_wide_resnet50_2': case('resnet/wide50_2'),
    'torchvision_resnext50_32x4d': case('resnet/next50_32x4d'),
}
