"""PointRend from mmsegmentation, `pointrend_r50` and others on ResNets."""

from segjax.convert.rules import under
from segjax.convert.rules.mmseg import resnet
from segjax.convert.rules.mmseg import semantic_fpn

RULES = (
    *under('backbone', resnet.PLAIN),
    *semantic_fpn.levels(r'decode_head\.0'),
    (r'decode_head\.0\.conv_seg', 'classifier'),
    (r'decode_head\.1\.fcs\.0\.conv', 'points/fc1'),
    (r'decode_head\.1\.fcs\.1\.conv', 'points/fc2'),
    (r'decode_head\.1\.fcs\.2\.conv', 'points/fc3'),
    (r'decode_head\.1\.fc_seg', 'points/classifier'),
)
