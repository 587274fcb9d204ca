"""EMANet of mmsegmentation 1.2.2 and of its author, and its moving bases."""

from segjax import models
from segjax.convert.rules.mmseg import emanet as mmseg
from segjax.convert.rules.xialipku import emanet as xialipku
from segjax.layers.em_attention import EMAttention
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import inside


def calls(inputs, count, **fields):
  """What is there after some calls in training.

  The features that the last returned, the bases of its images, the moving ones.
  """
  layer = EMAttention(inputs['bases'].shape[-1], **fields)
  variables = {'moving': {'bases': inputs['bases'][0]}}
  for call in range(1, count + 1):
    out, variables = layer.apply(
        variables, inputs[f'features_{call}'], True, mutable=['moving']
    )
  return *out, variables['moving']['bases'][None]


def after(count, place, **fields):
  return lambda inputs: calls(inputs, count, **fields)[place]


SCORES = {
    'backbone_c4_first64': inside('backbone', 'c5', first=64),
    'logits': inside('classifier'),
}
PARTS = ('backbone', 'classifier', 'unit', 'unit/attention')

CASES = {
    'emanet_r50_d8': Case(
        lambda spec: models.create('emanet', spec['num_classes'], dropout=0.0),
        mmseg.RULES,
        {
            **SCORES,
            'ema_recon_first32': inside('unit/attention', 0, first=32),
            'aux_0': inside('aux'),
        },
        parts=(*PARTS, 'aux'),
    ),
    'emanet_official_r50': Case(
        lambda spec: models.create(
            'emanet',
            spec['num_classes'],
            backbone='resnet/50_v1s(output_stride=8, multi_grid=(0, 2, 4))',
            unit_mean=False,
            join=False,
            align_corners=True,
            dropout=0.0,
            aux_level='',
        ),
        xialipku.RULES,
        {
            **SCORES,
            'emau_first32': inside('unit', first=32),
            'mu_first64': lambda out, parts: parts['unit/attention'][1][:, :64],
        },
        parts=PARTS,
    ),
    'emanet_bases': FunctionCase(
        {
            f'{name}_{count}': after(count, place, unit_mean=name[0] == 'm')
            for count in (1, 2)
            for name, place in (
                ('mmseg_recon', 0),
                ('mmseg_bases', 2),
                ('official_image_bases', 1),
                ('official_bases', 2),
            )
        }
    ),
}
