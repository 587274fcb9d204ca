"""OCRNet on HRNet-W18, of mmsegmentation 1.2.2 and of its authors."""

from segjax import models
from segjax.convert import rules
from segjax.layers.object_context import object_regions
from tests.parity.case import Case
from tests.parity.case import inside


def regions(out, parts):
  """The object regions as [B, K, 1, C]."""
  del out
  x = object_regions(parts['context/pixels'], parts['coarse'])
  return x[:, :, None]


# Before they are enlarged.
SCORES = {
    'aux_0': inside('coarse'),
    'logits': inside('classifier'),
    'object_regions': regions,
    'ocr_first16': inside('context', first=16),
}
PARTS = ('coarse', 'context', 'context/pixels', 'classifier')


def build(spec, backbone, **fields):
  return models.create(
      'ocrnet', spec['num_classes'], backbone=backbone, dropout=0.0, **fields
  )


CASES = {
    'ocrnet_hrnet_w18': Case(
        lambda spec: build(
            spec,
            'hrnet/w18(resize_twice=True)',
            bias=False,
            align_corners=False,
        ),
        rules.find('mmseg', 'ocrnet', 'hrnet/w18'),
        {
            **SCORES,
            'backbone_b3': inside('backbone', 'c5'),
            'backbone_b0_first8': inside('backbone', 'c2', first=8),
        },
        parts=('backbone', *PARTS),
        whole=False,
    ),
    'ocrnet_hrnet_official_w18': Case(
        lambda spec: build(spec, 'hrnet/w18'),
        rules.find('hrnet', 'ocrnet', 'hrnet/w18'),
        SCORES,
        parts=PARTS,
        whole=False,
    ),
}
