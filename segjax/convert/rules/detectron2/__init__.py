"""Modules of https://github.com/facebookresearch/detectron2."""

import numpy as np

from segjax.convert.joints import one


def conv_norm(source, target):
  """Returns the rules of a `ConvNormAct`: the norm is inside the convolution.

  Args:
    source: pattern of the convolution there.
    target: path of the `ConvNormAct` here.
  """
  return (
      (source, f'{target}/conv'),
      (rf'{source}\.norm', f'{target}/norm'),
  )


def on_pyramid(head):
  """Returns the rules of a ResNet, its pyramid and semantic branches on it.

  Args:
    head: pattern of the module that holds the branches.
  """
  return sum((_level(number, head) for number in (2, 3, 4, 5)), ())


def _level(number, head):
  """Returns the rules of a stage, and of a level with its branch."""
  stage, level = f'stage{number - 1}', f'c{number}'
  block = rf'backbone\.bottom_up\.res{number}\.(\d+)'
  branch = rf'{head}\.p{number}'
  return (
      *conv_norm(rf'{block}\.(conv\d)', rf'backbone/{stage}_\1/\2'),
      *conv_norm(rf'{block}\.shortcut', rf'backbone/{stage}_\1/shortcut'),
      (rf'backbone\.fpn_lateral{number}', f'fpn/lateral_{level}/conv'),
      (rf'backbone\.fpn_output{number}', f'fpn/output_{level}/conv'),
      # Between two convolutions is an enlarging.
      *conv_norm(rf'{branch}\.0', f'{level}_conv1'),
      *conv_norm(rf'{branch}\.2', f'{level}_conv2'),
      *conv_norm(rf'{branch}\.4', f'{level}_conv3'),
  )


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


# The detector in two stages of systems on a pyramid. No object is the last
# class there and the first one here; it has neither a box nor a mask there, so
# these are 0 here.
DETECTOR = (
    ('pixel_(?:mean|std)', None),
    (r'proposal_generator\.anchor_generator\..*', None),
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
