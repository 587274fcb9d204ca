"""SegFormer: of mmsegmentation 1.2.2 and segmentation_models_pytorch 0.6.0."""

from segjax import models
from segjax.convert.rules.mmseg import segformer as mmseg
from segjax.convert.rules.smp import segformer as smp
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

CASES = {
    'segformer_b0': Case(
        lambda spec: models.create(
            'segformer',
            spec['num_classes'],
            backbone='mit/b0(drop_path=0.0)',
            dropout=0.0,
        ),
        mmseg.RULES,
        {
            'logits': inside('classifier'),
            'feat0_every4': inside('backbone', 'c2', every=4),
            'feat1_every8': inside('backbone', 'c3', every=8),
            'feat2_every10': inside('backbone', 'c4', every=10),
            'feat3_every8': inside('backbone', 'c5', every=8),
        },
        parts=('backbone', 'classifier'),
    ),
    'smp_segformer_resnet18': Case(
        lambda spec: models.create(
            'segformer',
            spec['num_classes'],
            backbone='resnet/18',
            levels=('c5', 'c4', 'c3', 'c2', 'c1'),
            linear=True,
            features=spec['build']['decoder_segmentation_channels'],
            dropout=0.0,
            align_corners=True,
        ),
        smp.RULES,
        {
            'logits': returned('logits'),
            'decoder_first16': inside('fuse', first=16),
            'head_conv': inside('classifier'),
        },
        parts=('fuse', 'classifier'),
    ),
}
