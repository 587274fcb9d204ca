"""UPerNet from pytorch-segmentation, `UperNet`.

Fields: `shared=True, features=256, bins=(1, 2, 4, 6), aux_level=''` on
'resnet/101(output_stride=16, dilate_first=True)' and others. One convolution
smooths all levels, and stands in files once for each.
"""

from segjax.convert.rules import alias
from segjax.convert.rules import conv_norm
from segjax.convert.rules.yassouali import resnet_rules

RULES = (
    *resnet_rules('backbone', 'initial'),
    *conv_norm(r'PPN\.stages\.(\d)', r'ppm/level\1', '1', '2'),
    *conv_norm(r'PPN\.bottleneck', 'top'),
    *(
        (rf'FPN\.conv1x1\.{level - 3}', f'pyramid/lateral_c{level}')
        for level in (3, 4, 5)
    ),
    (r'FPN\.smooth_conv\.0', 'pyramid/smooth'),
    *alias((r'FPN\.smooth_conv\.[12]', 'pyramid/smooth')),
    *conv_norm(r'FPN\.conv_fusion', 'fuse'),
    ('head', 'classifier'),
)
