"""ExFuse, a network in PyTorch with names of its own.

Nobody has weights by these names, so that their rules are here.
"""

from segjax import models
from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.zijundeng import gcn
from segjax.ops.pixel_shuffle import pixel_shuffle
from tests.parity.case import Case
from tests.parity.case import returned

LEVELS = ('c2', 'c3', 'c4', 'c5')
RULES = (
    *under('', gcn.BACKBONE, 'backbone'),
    *(
        rule
        for i, level in enumerate(LEVELS, 1)
        for rule in (
            *gcn.global_conv(f'gc{i}', f'score_{level}'),
            *(
                (rf'seb{i}\.convs\.{j}', f'embed_{level}/{coarser}')
                for j, coarser in enumerate(LEVELS[i:])
            ),
            *conv_norm(
                f'ss{i}', rf'supervise_{level}/conv\1', r'conv(\d)', r'bn(\d)'
            ),
            (rf'ss{i}\.fc', f'supervise_{level}/classifier'),
        )
    ),
    ('ecre', 'detail'),
    *(
        (f'deconv{i}', f'enlarge_{level}')
        for i, level in enumerate(('image', 'c1', 'c2', 'c3'))
    ),
)


def detail(out, parts):
  """The coarsest scores, after the pixel shuffle and before the enlarging."""
  del out
  return pixel_shuffle(parts['detail'], 2)


CASES = {
    'exfuse': Case(
        lambda spec: models.create(
            'exfuse',
            spec['num_classes'],
            image_classes=spec['build']['image_classes'],
        ),
        RULES,
        {
            'logits': returned('logits'),
            'aux_0': detail,
            'fused_s4': lambda out, parts: (
                parts['enlarge_c2'] + parts['score_c2']
            ),
            **{
                f'ss_{i}': returned('image_logits', level)
                for i, level in enumerate(('c2', 'c3', 'c4'), 1)
            },
        },
        parts=('detail', 'enlarge_c2', 'score_c2'),
        whole=False,
        # Products of features with the statistics of few pixels: a change of
        # the image by a millionth changes the original's scores by a hundredth
        # of their standard deviation. Ours in float64 is as far from them.
        within_train=2e-2,
    ),
}
