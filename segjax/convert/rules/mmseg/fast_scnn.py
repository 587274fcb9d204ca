"""Fast-SCNN from mmsegmentation, `fast_scnn`."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads

DOWNSAMPLE = (
    *conv_norm('conv', 'conv1', 'conv', 'bn'),
    *heads.separable('dsconv1', 'conv2'),
    *heads.separable('dsconv2', 'conv3'),
)
EXTRACTOR = (
    *(
        rule
        for i, part in enumerate(('expand', 'depthwise', 'project'))
        for rule in conv_norm(
            rf'bottleneck(\d)\.(\d)\.conv\.{i}',
            rf'stage\1_\2/{part}',
            'conv',
            'bn',
        )
    ),
    *conv_norm(r'ppm\.(\d)\.1', r'ppm/level\1', 'conv', 'bn'),
    *conv_norm('out', 'fuse', 'conv', 'bn'),
)
FUSION = (
    *conv_norm('dwconv', 'deep_depthwise', 'conv', 'bn'),
    *conv_norm('conv_lower_res', 'deep_pointwise', 'conv', 'bn'),
    *conv_norm('conv_higher_res', 'fine', 'conv', 'bn'),
)

RULES = (
    *under(r'backbone\.learning_to_downsample', DOWNSAMPLE, 'downsample'),
    *under(r'backbone\.global_feature_extractor', EXTRACTOR, 'extractor'),
    *under(r'backbone\.feature_fusion', FUSION, 'fusion'),
    *heads.separable(r'decode_head\.convs\.0', 'conv1'),
    *heads.separable(r'decode_head\.convs\.1', 'conv2'),
    (r'decode_head\.conv_seg', 'classifier'),
    *heads.head(r'auxiliary_head\.0', 'aux_deep'),
    *heads.head(r'auxiliary_head\.1', 'aux_fine'),
)
