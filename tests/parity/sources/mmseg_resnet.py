"""ResNets of mmsegmentation 1.2.2."""

from segjax import backbones
from segjax.convert import rules
from tests.parity.case import Case
from tests.parity.case import returned

# Levels are stages there.
OUTPUTS = {
    'c1_first16': returned('c2', first=16),
    'c2_first32': returned('c3', first=32),
    'c3_first64': returned('c4', first=64),
    'c4_first64': returned('c5', first=64),
}


def case(name, output_stride=8):
  return Case(
      lambda spec: backbones.build(name, output_stride=output_stride),
      rules.find('mmseg', 'resnet', name),
      OUTPUTS,
  )


CASES = {
    'resnet50_v1b': case('resnet/50'),
    'resnet50_v1c': case('resnet/50_v1c'),
    'resnet50_v1d': case('resnet/50_v1d'),
    'resnet50_v1d_d32': case('resnet/50_v1d', 32),
}
