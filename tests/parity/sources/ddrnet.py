"""DDRNet of mmsegmentation 1.2.2."""

from segjax import models
from segjax.convert.rules.mmseg import ddrnet
from segjax.ops.resize import resize
from tests.parity.case import Case
from tests.parity.case import inside


def branches(out, parts):
  """The sum of both branches."""
  del out
  detail = parts['detail5']
  return (detail + resize(parts['pyramid'], detail.shape[1:3]))[..., :32]


CASES = {
    'ddrnet_23_slim': Case(
        lambda spec: models.create('ddrnet', spec['num_classes']),
        ddrnet.RULES,
        {
            # Before they are enlarged.
            'logits': inside('head'),
            'aux_0': inside('aux_detail'),
            'backbone_first32': branches,
        },
        parts=('head', 'aux_detail', 'detail5', 'pyramid'),
    ),
}
