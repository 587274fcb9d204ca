"""Rules for detectors: there and back, and the older names of torchvision."""

import jax
import numpy as np
import pytest

from segjax import models
from segjax.convert import rules
from segjax.convert import torch
from tests.convert.torchvision import resnet

SMALL = dict(
    backbone='resnet/tiny',
    pyramid_features=8,
    box_features=8,
    mask_features=8,
    before=(4, 4),
    proposals=(4, 4),
    detections=2,
)


def linear(name, out, into):
  return {f'{name}.weight': (out, into), f'{name}.bias': (out,)}


def conv(name, out, into, kernel):
  return {
      f'{name}.weight': (out, into, kernel, kernel),
      f'{name}.bias': (out,),
  }


def torchvision(classes, masks, new):
  """Returns {name: shape} of a detector on 'resnet/tiny'."""
  first = '.0' if new else ''
  shapes = {f'backbone.body.{name}': shape for name, shape in resnet().items()}
  for i in range(4):
    name = f'backbone.fpn.inner_blocks.{i}{first}'
    shapes |= conv(name, 8, 16 << i, 1)
    shapes |= conv(f'backbone.fpn.layer_blocks.{i}{first}', 8, 8, 3)
  shapes |= conv('rpn.head.conv' + 2 * first, 8, 8, 3)
  shapes |= conv('rpn.head.cls_logits', 3, 8, 1)
  shapes |= conv('rpn.head.bbox_pred', 12, 8, 1)
  shapes |= linear('roi_heads.box_head.fc6', 8, 8 * 49)
  shapes |= linear('roi_heads.box_head.fc7', 8, 8)
  shapes |= linear('roi_heads.box_predictor.cls_score', classes, 8)
  shapes |= linear('roi_heads.box_predictor.bbox_pred', 4 * classes, 8)
  if masks:
    for i in range(4):
      part = f'{i}.0' if new else f'mask_fcn{i + 1}'
      shapes |= conv(f'roi_heads.mask_head.{part}', 8, 8, 3)
    shapes |= conv('roi_heads.mask_predictor.conv5_mask', 8, 8, 2)
    shapes |= conv('roi_heads.mask_predictor.mask_fcn_logits', classes, 8, 1)
  return shapes


def detectron2(classes, semantic):
  """Returns {name: shape} of what has classes in Panoptic FPN, of things."""
  shapes = {}
  shapes |= linear('roi_heads.box_predictor.cls_score', classes + 1, 8)
  shapes |= linear('roi_heads.box_predictor.bbox_pred', 4 * classes, 8)
  shapes |= conv('roi_heads.mask_head.predictor', classes, 8, 1)
  return shapes | conv('sem_seg_head.predictor', semantic, 8, 1)


def state(shapes):
  rng = np.random.default_rng(0)
  return {
      name: rng.normal(size=shape).astype(np.float32)
      for name, shape in shapes.items()
  }


def template(name, classes, **fields):
  model = models.create(name, classes, **SMALL | fields)
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
  return jax.eval_shape(model.init, jax.random.key(0), image)


@pytest.mark.parametrize(('masks', 'new'), [(True, True), (False, False)])
def test_torchvisions_detectors_go_there_and_back(masks, new):
  shapes = torchvision(5, masks, new)
  found = rules.find('torchvision', 'mask_rcnn', 'resnet/18')
  there = state(shapes)
  variables = torch.convert(there, found, template('mask_rcnn', 5, masks=masks))
  back = torch.export(variables, found, shapes)
  for name, value in there.items():
    if not name.endswith('num_batches_tracked'):
      np.testing.assert_array_equal(back[name], value)
  # Channels come first in what torchvision flattens.
  kernel = variables['params']['detector']['box_head']['fc6']['kernel']
  flat = there['roi_heads.box_head.fc6.weight']
  np.testing.assert_array_equal(
      kernel, flat.reshape(8, 8, 7, 7).transpose(2, 3, 1, 0)
  )


@pytest.mark.parametrize('masks', [True, False])
def test_every_layer_has_a_rule_of_detectron2(masks):
  found = rules.find('detectron2', 'mask_rcnn', 'resnet/50_caffe')
  targets = {rule[1] for rule in found if isinstance(rule, tuple)}
  params = template('mask_rcnn', 5, masks=masks)['params']
  layers = {
      jax.tree_util.keystr(path[:-1], simple=True, separator='/')
      for path, _ in jax.tree.leaves_with_path(
          {name: params[name] for name in ('fpn', 'detector')}
      )
  }
  known = {target for target in targets if target and '\\' not in target}
  known |= {f'detector/mask_head/conv{i}/conv' for i in range(1, 5)}
  assert layers <= known


def test_no_object_is_the_first_class_and_has_neither_box_nor_mask():
  shapes = detectron2(3, 6)
  there = state(shapes)
  # The heads alone: the other layers have rules of one name for one name.
  whole = template(
      'panoptic_fpn', 6, object_classes=4, norm_groups=4, features=8
  )
  params = whole['params']
  heads = {
      'params': {
          'classifier': params['classifier'],
          'detector': {
              'box_head': {
                  name: params['detector']['box_head'][name]
                  for name in ('classifier', 'deltas')
              },
              'mask_head': {
                  'classifier': params['detector']['mask_head']['classifier']
              },
          },
      }
  }
  found = rules.find('detectron2', 'panoptic_fpn', 'resnet/50_caffe')
  variables = torch.convert(there, found, heads)['params']['detector']
  box = variables['box_head']
  bias = there['roi_heads.box_predictor.cls_score.bias']
  np.testing.assert_array_equal(box['classifier']['bias'], np.roll(bias, 1))
  assert not box['deltas']['kernel'][:, :4].any()
  assert not variables['mask_head']['classifier']['kernel'][..., 0].any()
  back = torch.export(torch.convert(there, found, heads), found, shapes)
  for name, value in there.items():
    np.testing.assert_array_equal(back[name], value)
