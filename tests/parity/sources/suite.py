"""PyTorch copies of networks of GeorgeSeif's Semantic-Segmentation-Suite.

The Suite has no weights, so that these names are the copies' own, and their
rules are here.
"""

from segjax import models
from segjax.convert.rules import conv_norm
from segjax.ops.pool import max_pool
from segjax.ops.upsample_aligned import upsample_aligned
from tests.parity.case import Case
from tests.parity.case import returned


def separable(source, target):
  return (
      *conv_norm(source, f'{target}/depthwise', 'dw', 'bn1'),
      *conv_norm(source, f'{target}/pointwise', 'pw', 'bn2'),
  )


def pre(source, target):
  return (
      (rf'{source}\.bn', f'{target}/norm'),
      (rf'{source}\.conv', f'{target}/conv'),
  )


MOBILE_UNET = (
    *conv_norm(r'down\.0\.0', 'body/down1_1', 'conv', 'bn'),
    *(
        rule
        for stage in range(5)
        for rule in (
            *conv_norm(
                rf'up\.{stage}\.0', f'body/up{5 - stage}', 'deconv', 'bn'
            ),
            *(
                rule
                for i in range(4)
                for rule in (
                    *separable(
                        rf'down\.{stage}\.{i}', f'body/down{stage + 1}_{i + 1}'
                    ),
                    *separable(rf'up\.{stage}\.{i}', f'body/up{5 - stage}_{i}'),
                )
            ),
        )
    ),
    ('logits', 'classifier'),
)

ADAPNET = (
    *pre('(stem[12]|skip|reduce)', r'\1'),
    *(
        rule
        for source, target in (
            (r's(\d)\.(\d)', r'stage\1_\2'),
            ('s2b', 'stage2_3'),
        )
        for rule in (
            *pre(rf'{source}\.proj', f'{target}/shortcut'),
            *pre(rf'{source}\.a', f'{target}/rate1'),
            *pre(rf'{source}\.b', f'{target}/rate2'),
            *pre(rf'{source}\.c1', f'{target}/conv1'),
            *pre(rf'{source}\.c3', f'{target}/conv3'),
        )
    ),
    # Where two convolutions stand in the middle, the last is the second.
    *pre(r's3\.([01])\.c2', r'stage3_\1/conv2'),
    *pre(r's([34])\.(\d)\.c2', r'stage\1_\2/conv3'),
    *pre(r's2b\.c2', 'stage2_3/conv3'),
    *pre(r's(\d)\.(\d)\.c2', r'stage\1_\2/conv2'),
    ('logits', 'classifier'),
)


def mobile_unet(skip):
  """The case with or without skips."""
  return Case(
      lambda spec: models.create('mobile_unet', spec['num_classes'], skip=skip),
      MOBILE_UNET,
      {
          'logits': returned('logits'),
          'bottom': lambda out, parts: max_pool(
              parts['body/down5_3'], (2, 2), (2, 2)
          ),
      },
      parts=('body/down5_3',),
      # Norms at stride 32 see 12 values a channel, and rounding grows: ours in
      # float64 are 0.03 from the fixture, those in float32 0.04.
      within_train=0.1,
  )


CASES = {
    'mobile_unet': mobile_unet(skip=False),
    'mobile_unet_skip': mobile_unet(skip=True),
    'adapnet': Case(
        lambda spec: models.create('adapnet', spec['num_classes']),
        ADAPNET,
        {
            'logits': returned('logits'),
            'fused_s8': lambda out, parts: parts['skip']
            + upsample_aligned(parts['reduce'], 2, parts['skip'].shape[1:3]),
        },
        parts=('skip', 'reduce'),
    ),
}
