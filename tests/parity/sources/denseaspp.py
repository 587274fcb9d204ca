"""DenseASPP of its authors."""

from segjax import models
from segjax.convert.rules.deepmotion import denseaspp
from segjax.ops.resize import rescale
from tests.parity.case import Case
from tests.parity.case import inside


def logits(out, parts):
  """Scores as the authors enlarge them: eightfold, not to the image's size."""
  del out
  return rescale(parts['classifier'], 8.0)


CASES = {
    'denseaspp': Case(
        # What is called bilinear now has no aligned corners.
        lambda spec: models.create(
            'denseaspp', spec['num_classes'], dropout=0.0, align_corners=False
        ),
        denseaspp.RULES,
        {
            'logits': logits,
            'backbone_first64': inside('backbone/norm', first=64),
            'aspp24': inside('branch4'),
        },
        parts=('classifier', 'backbone/norm', 'branch4'),
    ),
}
