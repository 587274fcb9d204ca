"""ContextNet of SegmenTron."""

from segjax import models
from segjax.convert.rules.segmentron import contextnet
from tests.parity.case import Case
from tests.parity.case import inside


def every_second(find):
  """Takes every second row and column of what `find` finds."""
  return lambda out, parts: find(out, parts)[:, ::2, ::2]


CASES = {
    'contextnet': Case(
        lambda spec: models.create(
            'contextnet', spec['num_classes'], dropout=0.0
        ),
        contextnet.RULES,
        {
            'logits_every2': every_second(lambda out, _: out['logits']),
            'aux_0_every2': every_second(lambda out, _: out['aux']['detail']),
            'stride_logits': inside('classifier'),
            'detail_every8': inside('detail', every=8),
            'context_every8': inside('context', every=8),
            'fused_every8': inside('fusion', every=8),
        },
        parts=('classifier', 'detail', 'context', 'fusion'),
    ),
}
