"""HRNet with its FCN head from mmsegmentation, `fcn_hr18` and others.

Their fields: `backbone='hrnet/w18(resize_twice=True)', fuse_bias=False`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.hrnet import backbone
from segjax.convert.rules.mmseg import heads

RULES = (
    *under('backbone', backbone.RULES),
    *conv_norm(r'decode_head\.convs\.0', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)
