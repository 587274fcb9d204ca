"""Systems with a feature pyramid of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert import rules
from tests.parity.case import Case
from tests.parity.case import inside


def case(system, outputs, parts):
  """A case; logits are those before they are enlarged."""
  return Case(
      lambda spec: models.create(system, spec['num_classes'], dropout=0.0),
      rules.find('mmseg', system, 'resnet/50_v1c'),
      {
          'backbone_c4_first64': inside('backbone', 'c5', first=64),
          'logits': inside('classifier'),
          **outputs,
      },
      parts=('backbone', 'classifier', *parts),
  )


CASES = {
    'upernet_r50': case(
        'upernet',
        {
            'aux_0': inside('aux'),
            'ppm_first64': inside('top', first=64),
            'fused_first16': inside('fuse', first=16),
        },
        parts=('aux', 'top', 'fuse'),
    ),
    'semantic_fpn_r50': case(
        'semantic_fpn',
        {
            'fpn_0_first16': inside('fpn', 'c2', first=16),
            'fpn_3_first64': inside('fpn', 'c5', first=64),
        },
        parts=('fpn',),
    ),
}
