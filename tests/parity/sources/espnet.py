"""ESPNet and ESPNet-C of their authors."""

from segjax import models
from segjax.convert.rules.sacmehta import espnet
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def case(outputs, parts=(), **fields):
  def build(spec):
    depths = spec['build']['p'], spec['build']['q']
    return models.create('espnet', spec['num_classes'], depths=depths, **fields)

  return Case(build, espnet.RULES, outputs, parts=parts)


CASES = {
    'espnet': case(
        {
            'logits': returned('logits'),
            'combine_l2_l3': inside('merge_middle'),
        },
        parts=('merge_middle',),
    ),
    'espnet_c': case(
        {
            'logits': returned('coarse'),
            'level2_0_every4': inside('encoder/stage2_0', every=4),
            'b3_every8': inside('encoder/join3', every=8),
        },
        parts=('encoder/stage2_0', 'encoder/join3'),
        decoder=False,
    ),
}
