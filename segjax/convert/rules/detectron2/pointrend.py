"""PointRend on Semantic FPN of its authors, a project of detectron2.

Their ResNets stride in the first convolution of a block and see BGR from 0 to
255 minus the mean; the branches have group norm. So weights for Cityscapes want
`backbone='resnet/101_caffe(ceil_pool=False)'`, beside the fields of
configs/pointrend.py:dataset=cityscapes, and `--config.preprocess.eval=
'normalize((123.675, 116.28, 103.53), 1.0)|bgr'`.
"""

from segjax.convert.rules.detectron2 import conv_norm
from segjax.convert.rules.detectron2 import on_pyramid

RULES = (
    ('pixel_(?:mean|std)', None),
    *conv_norm(r'backbone\.bottom_up\.stem\.conv1', 'backbone/stem'),
    *on_pyramid(r'sem_seg_head\.coarse_sem_seg_head'),
    (r'sem_seg_head\.coarse_sem_seg_head\.predictor', 'classifier'),
    (r'sem_seg_head\.point_head\.(fc\d)', r'points/\1'),
    (r'sem_seg_head\.point_head\.predictor', 'points/classifier'),
)
