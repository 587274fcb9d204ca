"""Systems whose fixtures are PyTorch networks with names of their own.

Nobody has weights by these names, so that their rules are here.
"""

import numpy as np

from segjax import models
from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.zhanghang1989 import resnet
from segjax.models import fully_dilated
from segjax.models import retinal_dilatednet
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def units(source, target, count):
  """Returns the rules of `Units`; those there are numbered from 0."""
  return tuple(
      rule
      for i in range(count)
      for rule in (
          (source.format(i) + r'\.conv', f'{target}/conv{i + 1}'),
          (source.format(i) + r'\.bn', f'{target}/norm{i + 1}'),
      )
  )


def residual(source, target):
  return (
      (rf'{source}\.c([12])\.conv', rf'{target}/units/conv\1'),
      (rf'{source}\.c([12])\.bn', rf'{target}/units/norm\1'),
      (rf'{source}\.conv3', f'{target}/project/conv'),
      (rf'{source}\.bn3', f'{target}/project/norm'),
  )


RETINAL = (
    ('stem([12])', r'stem\1'),
    *units(r'enc(\d)_main\.{}', r'encode\1', 2),
    *units(r'enc(\d)_image\.{}', r'image\1', 3),
    *(
        rule
        for i in (1, 2, 3)
        for rule in (
            *residual(f'enc{i}_res', f'residual{i}'),
            *residual(rf'mid\.{i - 1}', f'middle{i}'),
        )
    ),
    (r'dspp\.(\d)\.conv', r'pyramid\1/conv1'),
    (r'dspp\.(\d)\.bn', r'pyramid\1/norm1'),
    *units(r'dec(\d)\.{}', r'decode\1', 2),
    ('head', 'classifier'),
)

FD_NET = (
    (r'enc(\d)_dilated', r'down\1/conv'),
    (r'dec(\d)_dilated', r'up\1/conv'),
    (r'enc(\d)_conv0', r'encode\1_conv1/conv'),
    (r'enc(\d)_conv1', r'encode\1_conv2/conv'),
    ('mid_conv0', 'middle_conv1/conv'),
    ('mid_conv1', 'middle_conv2/conv'),
    (r'dec(\d)_conv0', r'decode\1_conv1/conv'),
    (r'dec(\d)_conv1', r'decode\1_conv2/conv'),
    ('classifier', 'classifier'),
)

DGCWNET = (
    (r'pretrained\.fc', None),
    *under('pretrained', resnet.RULES, 'backbone'),
    *conv_norm('conv5', 'reduce'),
    *conv_norm(r'dgcw\.dist', 'attention/weights/reduce'),
    (r'dgcw\.dist\.3', 'attention/weights/expand'),
    (r'dgcw\.(query|key|value)', r'attention/\1'),
    *conv_norm(r'dgcw\.out', 'attention/project'),
    *conv_norm('conv6', 'fuse'),
    (r'cls\.1', 'classifier'),
    *conv_norm(r'auxlayer\.conv5', 'aux/conv'),
    (r'auxlayer\.conv5\.4', 'aux/classifier'),
)

CASES = {
    'dgcwnet': Case(
        lambda spec: models.create('dgcwnet', spec['num_classes'], dropout=0.0),
        DGCWNET,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux'),
            'channel_weights_first64': inside('attention/weights', first=64),
            'dgcw_first64': inside('attention', first=64),
        },
        parts=('attention/weights', 'attention', 'classifier', 'aux'),
    ),
    'retinal_dilatednet': Case(
        lambda spec: retinal_dilatednet.Model(spec['num_classes']),
        RETINAL,
        {
            'logits': returned('logits'),
            'dspp': lambda out, parts: np.concatenate(
                [parts[f'pyramid{i}'][..., ::16] for i in range(4)], -1
            ),
        },
        parts=tuple(f'pyramid{i}' for i in range(4)),
    ),
    'fd_net': Case(
        lambda spec: fully_dilated.Model(spec['num_classes'], features=8),
        FD_NET,
        {
            'logits': returned('logits'),
            'mid_every32': inside('middle_conv2', every=32),
        },
        parts=('middle_conv2',),
    ),
}
