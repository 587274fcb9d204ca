"""OCNet of its authors, with each of its heads."""

from segjax import models
from segjax.convert.rules.pkurainbow import ocnet
from tests.parity.case import Case
from tests.parity.case import inside


def case(head):
  return Case(
      lambda spec: models.create(
          'ocnet', spec['num_classes'], head=head, dropout=0.0
      ),
      (
          # The fixture draws the second name of the shared projection apart,
          # and the original computes with the other one's values.
          (r'.*\.f_key\..*', None),
          *ocnet.RULES,
      ),
      {
          # Before they are enlarged.
          'logits': inside('classifier'),
          'aux_0': inside('aux'),
          'context_first64': inside('head', first=64),
      },
      parts=('head', 'classifier', 'aux'),
  )


CASES = {f'ocnet_{head}': case(head) for head in ('base', 'pyramid', 'asp')}
