"""Panoptic-DeepLab, by its author and in detectron2: the networks."""

from segjax import models
from segjax.convert import rules
from tests.parity.case import Case
from tests.parity.case import inside


def full(name):
  """Finds every second row and column of an output of the first image."""

  def find(out, parts):
    del parts
    values = out[name][:1, ::2, ::2]
    return values if values.ndim == 4 else values[..., None]

  return find


def case(source, outputs, **fields):
  backbone = fields.get('backbone', 'resnet/50')
  parts = ('backbone', 'classifier', 'center', 'offset', 'semantic/aspp')
  return Case(
      lambda spec: models.create(
          'panoptic_deeplab', spec['num_classes'], dropout=0.0, **fields
      ),
      rules.find(source, 'panoptic_deeplab', backbone),
      {
          'logits': inside('classifier'),
          'center': inside('center'),
          'offset': inside('offset'),
          'full_logits': full('logits'),
          'full_center': full('center'),
          'full_offset': full('offset'),
          **outputs,
      },
      parts=parts,
  )


def res2(every):
  """Finds every second row and column of the stride-4 features."""
  return lambda out, parts: parts['backbone']['c2'][:, ::2, ::2, ::every]


CASES = {
    'panoptic_deeplab_r50': case(
        'bowenc0221',
        {
            'backbone_res5': inside('backbone', 'c5', every=4),
            'backbone_res2': res2(4),
            'semantic_aspp': inside('semantic/aspp'),
        },
    ),
    'panoptic_deeplab_d2_r52': case(
        'detectron2',
        {
            'backbone_res5': inside('backbone', 'c5', every=8),
            'backbone_res2': res2(8),
        },
        backbone='resnet/50_v1s(output_stride=16, multi_grid=(1, 2, 4))',
        rates=(6, 12, 18),
        separable=True,
        pool_bias=True,
        levels=('c3', 'c2'),
        low_features=(64, 32),
        instance_low_features=(64, 32),
        low_first=True,
        separable_center=False,
        align_corners=False,
    ),
}
