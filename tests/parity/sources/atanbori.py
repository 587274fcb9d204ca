"""The small networks for phenotyping, built in PyTorch from the Keras code.

Nobody has weights by these names, so that their rules are here.
"""

from segjax import models
from tests.parity.case import Case
from tests.parity.case import inside

# Blocks there -> stages here. After the encoder, FCN's have a score each.
SCORES = {5: 'score4', 6: 'score3', 7: 'score2', 8: 'score1'}
ENCODER = {i: f'encode{i}' for i in (1, 2, 3, 4)}
DECODER = {i: f'decode{9 - i}' for i in (5, 6, 7, 8)}

RULES = (
    *(
        rule
        for block, stage in {**ENCODER, **DECODER}.items()
        for i in range(3)
        for rule in (
            (
                rf'block{block}_conv{i}\.depthwise',
                f'{stage}_{i + 1}/depthwise',
            ),
            # Its bias is called that of the pair.
            (
                rf'block{block}_conv{i}(?:\.pointwise)?',
                f'{stage}_{i + 1}/pointwise',
            ),
            (rf'block{block}_bn{i}', f'{stage}_{i + 1}/norm'),
        )
    ),
    ('classifier', 'classifier'),
)
# The first convolution of these is not separable.
PLAIN_FIRST = (('block1_conv0', 'encode1_1/conv'), *RULES)
FCN = (
    *((f'block{block}_conv1', name) for block, name in SCORES.items()),
    *PLAIN_FIRST,
)


def case(decoder, rules):
  return Case(
      lambda spec: models.create(
          'atanbori', spec['num_classes'], decoder=decoder
      ),
      rules,
      {
          'block4_every16': inside('encode4_3', every=16),
          'logits': inside('classifier'),  # Of whole multiples of 8 pixels.
      },
      parts=('encode4_3', 'classifier'),
  )


CASES = {
    'atanbori_fcn': case('fcn', FCN),
    'atanbori_segnet': case('segnet', PLAIN_FIRST),
    'atanbori_subpixel': case('subpixel', RULES),
}
