"""U-Net: of mmsegmentation 1.2.2, and with the names of its authors' release.

The second has the widths of the paper.
"""

from segjax import models
from segjax.convert.rules.caffe import unet as caffe
from segjax.convert.rules.mmseg import unet as mmseg
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'unet_mm': Case(
        lambda spec: models.create('unet', spec['num_classes'], dropout=0.0),
        mmseg.RULES,
        {
            'dec_0': inside('down4', first=64),
            'dec_2': inside('up2', first=16),
            'logits': returned('logits'),
            'aux_0': inside('aux'),
        },
        parts=('down4', 'up2', 'aux'),
    ),
    'unet_original': Case(
        lambda spec: models.create(
            'unet',
            spec['num_classes'],
            padded=False,
            dropout=0.0,
            aux_level='',
        ),
        caffe.RULES,
        {'logits': returned('logits'), 'd4c': inside('down4', every=8)},
        parts=('down4',),
    ),
}
