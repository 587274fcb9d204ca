"""FastFCN of mmsegmentation 1.2.2 with its three heads."""

from segjax import models
from segjax.convert.rules.mmseg import fastfcn
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def case(head, **outputs):
  """A case; logits are those before they are enlarged."""
  return Case(
      lambda spec: models.create(
          'fastfcn', spec['num_classes'], head=head, dropout=0.0
      ),
      fastfcn.RULES,
      {
          'backbone_c4_first64': inside('backbone', 'c5', first=64),
          'jpu_first32': inside('jpu', first=32),
          'logits': inside('classifier'),
          'aux_0': inside('aux'),
          **outputs,
      },
      parts=('backbone', 'jpu', 'classifier', 'aux'),
  )


CASES = {
    'fastfcn_r50_d32_jpu_psp': case('psp'),
    'fastfcn_jpu_aspp': case('aspp'),
    'fastfcn_jpu_enc': case('enc', se_logits=returned('presence')),
}
