"""Mask R-CNN and Faster R-CNN from detectron2, `mask_rcnn_R_50_FPN_1x`.

Fields: `backbone='resnet/50_caffe(ceil_pool=False)', rounded_anchors=False,
sampling=0, aligned=True`, and `masks=False` for Faster R-CNN. Its ResNets see
BGR from 0 to 255 minus the mean: `--config.preprocess.eval=
'normalize((123.675, 116.28, 103.53), 1.0)|bgr'`.
"""

from segjax.convert.rules.detectron2 import DETECTOR
from segjax.convert.rules.detectron2 import conv_norm
from segjax.convert.rules.detectron2 import on_pyramid

RULES = (
    *conv_norm(r'backbone\.bottom_up\.stem\.conv1', 'backbone/stem'),
    *on_pyramid('sem_seg_head'),  # There is none.
    *DETECTOR,
)
