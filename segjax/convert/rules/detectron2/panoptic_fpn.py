"""Panoptic FPN from detectron2, `panoptic_fpn_R_50_1x` and others.

Its ResNets stride in the first convolution of a block, and see BGR from 0 to
255 minus the mean: `--config.preprocess.eval=
'normalize((123.675, 116.28, 103.53), 1.0)|bgr'`. Of COCO, `num_classes=54` and
`object_classes=81`: stuff and one class for all things, and things behind no
object.
"""

from segjax.convert.rules.detectron2 import DETECTOR
from segjax.convert.rules.detectron2 import conv_norm
from segjax.convert.rules.detectron2 import on_pyramid

RULES = (
    *conv_norm(r'backbone\.bottom_up\.stem\.conv1', 'backbone/stem'),
    *on_pyramid('sem_seg_head'),
    (r'sem_seg_head\.predictor', 'classifier'),
    *DETECTOR,
)
