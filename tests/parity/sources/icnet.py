"""ICNet of mmsegmentation 1.2.2 and of its authors."""

from segjax import models
from segjax.convert.rules.caffe import icnet as caffe
from segjax.convert.rules.mmseg import icnet as mmseg
from tests.parity.case import Case
from tests.parity.case import inside

FUSIONS = ('fuse_middle', 'fuse_light')


def top(out, parts):
  """The second fusion, of which the fixture has 13 rows."""
  return inside('fuse_light', 0, first=16)(out, parts)[:, :13]


CASES = {
    'icnet_r50_d8': Case(
        lambda spec: models.create('icnet', spec['num_classes'], dropout=0.0),
        mmseg.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'aux_0': inside('aux_stride16'),
            'aux_1': inside('aux_stride8'),
            'branch_low_first32': inside('deep', first=32),
            'branch_high_first16': inside('light3', first=16),
        },
        parts=('classifier', 'aux_stride16', 'aux_stride8', 'deep', 'light3'),
    ),
    'icnet_official': Case(
        lambda spec: models.create(
            'icnet',
            spec['num_classes'],
            backbone='resnet/50_icnet(output_stride=8)',
            authors=True,
            guides=False,
        ),
        caffe.RULES,
        {
            'logits': inside('classifier'),
            'conv5_4_first32': inside('deep', first=32),
            'sub24_sum_first16': inside('fuse_middle', 0, first=16),
            'sub12_sum_first16': top,
        },
        parts=('classifier', 'deep', *FUSIONS),
    ),
}
