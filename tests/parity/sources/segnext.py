"""SegNeXt of mmsegmentation 1.2.2."""

import numpy as np

from segjax import models
from segjax.convert.rules.mmseg import segnext
from tests.parity import reference
from tests.parity.case import Case
from tests.parity.case import inside


def bases(image, given):
  """The bases that the original began with."""
  rng = reference.generator(f'{given["salt"]}:bases')
  drawn = rng.random((len(image), 256, 16)).astype(np.float32)
  return {'bases': drawn / np.linalg.norm(drawn, axis=1, keepdims=True)}


LAST = 'backbone/stage4_1'

CASES = {
    'segnext_tiny': Case(
        lambda spec: models.create(
            'segnext',
            spec['num_classes'],
            backbone='mscan/tiny(drop_path=0.0)',
            dropout=0.0,
        ),
        segnext.RULES,
        {
            'last_attention_every8': inside(f'{LAST}/attention', every=8),
            'last_mlp_every8': inside(f'{LAST}/mlp', every=8),
            **{
                f'stage_{i}_first16': inside('backbone', f'c{i + 2}', first=16)
                for i in range(4)
            },
            'ham_first32': inside('hamburger/factorization', first=32),
            'logits': inside('classifier'),
        },
        parts=(
            *(f'{LAST}/attention', f'{LAST}/mlp'),
            *('backbone', 'hamburger/factorization', 'classifier'),
        ),
        inputs=bases,
    ),
}
