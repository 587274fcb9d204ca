"""PSANet of mmsegmentation 1.2.2 and of its author, and the masks' layout."""

import jax

from segjax import models
from segjax.convert.rules.mmseg import psanet as mmseg
from segjax.convert.rules.semseg import psanet as semseg
from segjax.ops import psa_mask
from segjax.ops.resize import resize
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import inside

SCORES = {
    'backbone_c4_first64': inside('backbone', 'c5', first=64),
    'logits': inside('classifier'),
    'aux_0': inside('aux'),
}
PARTS = ('backbone', 'classifier', 'aux')
# Of the masks in the fixture: rows and columns.
SIZES = {
    'smaller': (7, 5),
    'equal': (7, 9),
    'larger': (11, 13),
    'mixed': (5, 9),
}


def psa_last32(out, parts):
  """The end of what the 3x3 convolution reads: features, then attention."""
  del out
  projected, features = parts['project'], parts['backbone']['c5']
  resized = resize(projected, features.shape[1:3], align_corners=True)
  return resized[..., -32:]


def pairs(function, name):
  return lambda inputs: function(inputs[f'mask_{name}'], SIZES[name])


def gradient(function, name):
  """What arrives at a mask of the gradient at the pairs."""

  def compute(inputs):
    _, pull = jax.vjp(
        lambda mask: function(mask, SIZES[name]), inputs[f'mask_{name}']
    )
    return pull(inputs[f'cotangent_{name}'])[0]

  return compute


CASES = {
    'psanet_r50_d8': Case(
        lambda spec: models.create(
            'psanet',
            spec['num_classes'],
            mask=tuple(spec['build']['mask_size']),
            dropout=0.0,
        ),
        mmseg.RULES,
        {**SCORES, 'psa_proj_first16': inside('project', first=16)},
        parts=(*PARTS, 'project'),
    ),
    'psanet_semseg_r50': Case(
        lambda spec: models.create(
            'psanet',
            spec['num_classes'],
            backbone='resnet/50_v1s(output_stride=8, dilate_first=True)',
            mask=(spec['build']['mask_h'], spec['build']['mask_w']),
            padded=False,
            align_corners=True,
            dropout=0.0,
        ),
        semseg.RULES,
        {**SCORES, 'psa_last32': psa_last32},
        parts=(*PARTS, 'project'),
    ),
    'psa_mask_op': FunctionCase(
        {
            f'{prefix}{function.__name__}_{name}': compute(function, name)
            for prefix, compute in (('', pairs), ('grad_mask_', gradient))
            for function in (psa_mask.collect, psa_mask.distribute)
            for name in SIZES
        },
        within=0.0,
    ),
}
