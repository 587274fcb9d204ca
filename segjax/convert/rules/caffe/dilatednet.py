"""DilatedNet by its authors: `dilation8_pascal_voc` and others.

Fields of those for VOC 2012 are the defaults; `dilation8_camvid` has
`context='basic'`, `dilation7_kitti` also `rates=(1, 1, 2, 4, 8)`, and
`dilation10_cityscapes` instead `rates=(1, 1, 2, 4, 8, 16, 32, 64),
learned_upsampling=True`. They see BGR from 0 to 255, minus the mean of their
data set.
"""

from segjax.convert.rules import under
from segjax.convert.rules.caffe import vgg

PREFIX = 'ctx?'  # Of the layers of the large and of the basic context module.

RULES = (
    ('(?:fc-)?final', 'classifier'),
    (rf'{PREFIX}_conv1_([12])', r'context/conv\1'),
    *((rf'{PREFIX}_conv{n}_1', f'context/conv{n + 1}') for n in range(2, 8)),
    (f'{PREFIX}_fc1', 'context/hidden'),
    (f'{PREFIX}_final', 'context/classifier'),
    ('ctx_upsample', 'upsample'),
    *under('', vgg.RULES, 'backbone'),
)
