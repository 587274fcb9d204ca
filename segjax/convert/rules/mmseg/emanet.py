"""EMANet from mmsegmentation, `emanet_r50-d8` and others on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet

RULES = (
    *under('backbone', resnet.PLAIN),
    *conv_norm(r'decode_head\.ema_in_conv', 'reduce', 'conv', 'bn'),
    (r'decode_head\.ema_mid_conv\.conv', 'unit/project'),
    (r'decode_head\.ema_module\.bases', 'moving/unit/attention/bases'),
    *conv_norm(r'decode_head\.ema_out_conv', 'unit/rebuilt', 'conv', 'bn'),
    *conv_norm(r'decode_head\.bottleneck', 'bottleneck', 'conv', 'bn'),
    *conv_norm(r'decode_head\.conv_cat', 'fuse', 'conv', 'bn'),
    *heads.RULES,
)
