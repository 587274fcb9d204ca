"""BiSeNet from mmsegmentation, `bisenetv1_r18-d32` and others on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet

CONTEXT = (
    *heads.refinement('arm32', 'refine_c5'),
    *heads.refinement('arm16', 'refine_c4'),
    *conv_norm('conv_head32', 'conv_c4', 'conv', 'bn'),
    *conv_norm('conv_head16', 'conv_c3', 'conv', 'bn'),
    *conv_norm(r'gap_conv\.1', 'mean', 'conv', 'bn'),
)

RULES = (
    *under(r'backbone\.context_path\.backbone', resnet.PLAIN, 'backbone'),
    *under(r'backbone\.context_path', CONTEXT, 'context'),
    *conv_norm(
        r'backbone\.spatial_path\.layer(\d)', r'spatial/conv\1', 'conv', 'bn'
    ),
    *conv_norm(r'backbone\.ffm\.conv1', 'fusion/conv', 'conv', 'bn'),
    *conv_norm(r'backbone\.ffm\.conv_atten\.0', 'fusion/gate', 'conv', 'bn'),
    *conv_norm(r'decode_head\.convs\.0', 'conv', 'conv', 'bn'),
    (r'decode_head\.conv_seg', 'classifier'),
    *heads.head(r'auxiliary_head\.0', 'aux_c3'),
    *heads.head(r'auxiliary_head\.1', 'aux_c4'),
)
