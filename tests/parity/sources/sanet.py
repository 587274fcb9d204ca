"""SANet, built from the paper on PyTorch-Encoding."""

from segjax import models
from segjax.convert.rules.zhanghang1989 import sanet
from segjax.models.sanet import LEVELS
from segjax.ops.resize import resize
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

HEADS = tuple(f'head_{level}' for level in LEVELS)


def fine(parts, *scores):
  """The sum of scores at the size of the first stage."""
  size = parts[HEADS[0]][0].shape[1:3]
  return sum(resize(x, size, align_corners=True) for x in scores)


def masks(out, parts):
  del out
  return fine(parts, *(parts[head][0] for head in HEADS))


CASES = {
    'sanet': Case(
        lambda spec: models.create(
            'sanet',
            spec['num_classes'],
            features=spec['build']['head_channels'],
            dropout=0.0,
        ),
        sanet.RULES,
        {
            # Before they are enlarged.
            'logits': lambda out, parts: (
                masks(out, parts) + fine(parts, parts['dense'])
            ),
            'mask_logits': masks,
            'dense_logits': inside('dense'),
            'category_logits': returned('presence'),
            'sa4_first64': inside('head_c5/attend', first=64),
        },
        parts=(*HEADS, 'dense', 'head_c5/attend'),
    ),
}
