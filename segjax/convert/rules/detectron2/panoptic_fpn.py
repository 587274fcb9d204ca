"""Panoptic FPN from detectron2, `panoptic_fpn_R_50_1x` and others.

Its ResNets stride in the first convolution of a block, and see BGR from 0 to
255 minus the mean: `--config.preprocess.eval=
'normalize((123.675, 116.28, 103.53), 1.0)|bgr'`. Of COCO, `num_classes=54` and
`object_classes=81`: stuff and one class for all things, and things behind no
object, which is the last class there. It has neither a box nor a mask there, so
these are 0 here.
"""

import numpy as np

from segjax.convert.joints import one
from segjax.convert.rules.detectron2 import conv_norm
from segjax.convert.rules.detectron2 import on_pyramid


def _turned(module):
  """Returns the joints of a layer whose last output is the first here."""
  return tuple(
      one(
          module,
          variable,
          lambda value: np.roll(value, 1, -1),
          lambda value: np.roll(value, -1, -1),
      )
      for variable in ('kernel', 'bias')
  )


def _without_first(module, count):
  """Returns the joints of a layer that lacks the first outputs here."""

  def read(value):
    return np.pad(value, [(0, 0)] * (value.ndim - 1) + [(count, 0)])

  return tuple(
      one(module, variable, read, lambda value: value[..., count:])
      for variable in ('kernel', 'bias')
  )


RULES = (
    ('pixel_(?:mean|std)', None),
    (r'proposal_generator\.anchor_generator\..*', None),
    *conv_norm(r'backbone\.bottom_up\.stem\.conv1', 'backbone/stem'),
    *on_pyramid('sem_seg_head'),
    (r'sem_seg_head\.predictor', 'classifier'),
    (r'proposal_generator\.rpn_head\.conv', 'detector/rpn/conv'),
    (
        r'proposal_generator\.rpn_head\.objectness_logits',
        'detector/rpn/objectness',
    ),
    (r'proposal_generator\.rpn_head\.anchor_deltas', 'detector/rpn/deltas'),
    (r'roi_heads\.box_head\.fc1', 'detector/box_head/fc6'),
    (r'roi_heads\.box_head\.fc2', 'detector/box_head/fc7'),
    (r'roi_heads\.box_predictor\.cls_score', 'detector/box_head/classifier'),
    (r'roi_heads\.box_predictor\.bbox_pred', 'detector/box_head/deltas'),
    (
        r'roi_heads\.mask_head\.mask_fcn(\d)',
        r'detector/mask_head/conv\1/conv',
    ),
    (r'roi_heads\.mask_head\.deconv', 'detector/mask_head/upsample'),
    (r'roi_heads\.mask_head\.predictor', 'detector/mask_head/classifier'),
    *_turned('detector/box_head/classifier'),
    *_without_first('detector/box_head/deltas', 4),
    *_without_first('detector/mask_head/classifier', 1),
)
