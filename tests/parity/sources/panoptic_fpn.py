"""Panoptic FPN of detectron2, part after part, and its rule of merging."""

import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.convert import rules
from segjax.losses.cross_entropy import cross_entropy
from segjax.models import panoptic_fpn
from segjax.ops import anchors as anchor_ops
from segjax.ops import panoptic as ops
from segjax.ops import roi_align
from segjax.ops.resize import resize
from tests.parity import forward
from tests.parity import reference
from tests.parity.case import ProcedureCase
from tests.parity.forward import quickly
from tests.parity.sources.roi_align import rows_first

SIZE = 64, 96
LEVELS = ['c2', 'c3', 'c4', 'c5', 'c6']
SHAPES = [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
EVERY = {'c2': 4, 'c3': 2}  # Rows and columns of the finest levels.
MERGE = {
    'default': dict(max_overlap=0.5, stuff_area=60, min_score=0.5),
    'strict': dict(max_overlap=0.2, stuff_area=10, min_score=0.4),
    'loose': dict(max_overlap=0.9, stuff_area=400, min_score=0.0),
}


def build(spec):
  return models.create(
      'panoptic_fpn',
      spec['num_classes'],
      before=(9, 9),
      proposals=(6, 6),
      detections=4,
  )


def networks(model, variables, image, inputs):
  """The pyramid, the branch, the network of proposals, and the heads."""
  last = ('c2_conv1', 'c3_conv1', 'c4_conv2', 'c5_conv3')
  rpn = ('detector/rpn/objectness', 'detector/rpn/deltas')
  call = forward.call(
      model,
      variables,
      image,
      train=False,
      parts=('fpn', 'classifier', *last, *rpn),
  )
  found = call.parts
  pyramid = found['fpn'] | {'c6': found['fpn']['c5'][:, ::2, ::2]}
  out = {'logits': found['classifier']}
  for i, level in enumerate(LEVELS):
    name, step = f'p{level[1:]}', EVERY.get(level, 1)
    out[f'fpn_{name}'] = pyramid[level][:, ::step, ::step]
    for part, key in zip(rpn, ('objectness', 'deltas'), strict=True):
      out[f'rpn_{key}_{name}'] = found[part][i][:, ::step, ::step]
  for level, name in zip(LEVELS, last, strict=False):
    branch = resize(found[name], SHAPES[0])
    out[f'sem_branch_p{level[1:]}'] = branch[:, ::4, ::4]
  logits = call.out['logits']
  out['full_logits'] = logits[:, ::3, ::3]
  rng = reference.generator('public:labels')
  labels = rng.integers(0, model.num_classes, (1, *SIZE)).astype(np.int32)
  labels[rng.random(labels.shape) < 0.05] = 255
  out['loss_sem_seg'] = 0.5 * cross_entropy(logits, labels)

  detector = panoptic_fpn.detector(model)
  own = {'params': variables['params']['detector']}
  boxes = jnp.asarray(rows_first(inputs['head_boxes']))[None]
  read = quickly(detector.apply, bins=7, train=False, method='read')
  out['head_box_roi_sub'] = read(own, pyramid, boxes)[..., ::16]
  out['head_levels'] = (
      roi_align.level_of(boxes, 2, 5, epsilon=1e-8, inside=True)[0] - 2
  )
  classify = quickly(detector.apply, train=False, method='classify')
  logits, deltas = classify(own, pyramid, boxes)
  out['head_class_logits'] = np.roll(logits[0], -1, -1)
  out['head_box_regression'] = deltas[0, :, 1:].reshape(len(deltas[0]), -1)
  heads = forward.call(
      detector,
      own,
      pyramid,
      boxes,
      np.ones((1, 8), int),
      False,
      method='segment',
      parts=('mask_head',),
  ).parts
  out['head_mask_logits'] = heads['mask_head'][:, ::3, ::3, 1:]
  return out


def anchors(model):
  detector = panoptic_fpn.detector(model)
  found = anchor_ops.anchors(
      SHAPES,
      detector.strides(LEVELS, SHAPES),
      model.anchor_sizes,
      model.anchor_ratios,
      rounded=False,
  )
  counts = [3 * h * w for h, w in SHAPES]
  start = sum(counts[:2])
  return {
      'anchors_p4': rows_first(found[start : start + counts[2]]),
      'anchors_p2_first9': rows_first(found[:9]),
  }


def merged(inputs):
  """Maps of segments, numbered as they are painted, and their rows."""
  out = {}
  masks = jnp.asarray(inputs['merge_masks'] > 0)
  labels, scores = inputs['merge_semantic'], inputs['merge_scores']
  is_stuff = np.arange(6) > 0  # Class 0 is of all things.
  for name, options in MERGE.items():
    merge = quickly(ops.merge_detections, mask_of=masks.__getitem__, **options)
    segments, there = merge(scores=scores, labels=labels, is_stuff=is_stuff)
    things = [i for i in np.argsort(-scores, kind='stable') if there[i]]
    rows = [(1, inputs['merge_classes'][i], i) for i in things]
    rows += [(0, c, -1) for c in range(6) if there[len(scores) + c]]
    ids = np.zeros_like(labels)
    for number, (is_thing, kind, i) in enumerate(rows, 1):
      place = i + 1 if is_thing else len(scores) + 1 + kind
      ids[segments == place] = number
    out[f'merge_{name}_map'] = ids
    out[f'merge_{name}_segments'] = np.array(
        [(number, *row) for number, row in enumerate(rows, 1)], np.int32
    )
  return out


def procedure(model, variables, image, inputs):
  return (
      networks(model, variables, image, inputs)
      | anchors(model)
      | merged(inputs)
  )


CASES = {
    'panoptic_fpn': ProcedureCase(
        build,
        procedure,
        rules.find('detectron2', 'panoptic_fpn', 'resnet/50_caffe'),
    )
}
