"""OCRNet from mmsegmentation, `ocrnet_hr18` and others, also on ResNets.

Their fields: `bias=False, align_corners=False` and, on HRNets,
`backbone='hrnet/w18(resize_twice=True)'`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.hrnet import backbone
from segjax.convert.rules.mmseg import resnet

OBJECT = r'decode_head\.1\.object_context_block'
HEADS = (
    *conv_norm(r'decode_head\.0\.convs\.0', 'coarse/conv', 'conv', 'bn'),
    (r'decode_head\.0\.conv_seg', 'coarse/classifier'),
    *conv_norm(r'decode_head\.1\.bottleneck', 'context/pixels', 'conv', 'bn'),
    *conv_norm(
        rf'{OBJECT}\.(query|key)_project\.(\d)',
        r'context/attention/\1/conv\2',
        'conv',
        'bn',
    ),
    *conv_norm(
        rf'{OBJECT}\.value_project',
        'context/attention/value/conv0',
        'conv',
        'bn',
    ),
    *conv_norm(rf'{OBJECT}\.out_project', 'context/project', 'conv', 'bn'),
    *conv_norm(rf'{OBJECT}\.bottleneck', 'context/fuse', 'conv', 'bn'),
    (r'decode_head\.1\.conv_seg', 'classifier'),
)

RULES = {
    'hrnet': (*under('backbone', backbone.RULES), *HEADS),
    'resnet': (*under('backbone', resnet.PLAIN), *HEADS),
}
