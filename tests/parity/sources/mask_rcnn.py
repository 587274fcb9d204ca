"""Mask R-CNN of torchvision, part after part."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.convert import rules
from segjax.data import transforms
from segjax.evaluation import masks as mask_files
from segjax.layers import two_stage
from segjax.models import mask_rcnn
from segjax.ops import anchors as anchor_ops
from segjax.ops import box_matching
from segjax.ops import boxes as box_ops
from segjax.ops import detections
from segjax.ops import roi_align
from segjax.tasks import instances
from tests.parity import forward
from tests.parity.case import ProcedureCase
from tests.parity.forward import quickly
from tests.parity.sources.roi_align import aligned
from tests.parity.sources.roi_align import rows_first

SIZE = 96, 128
LEVELS = ['c2', 'c3', 'c4', 'c5', 'c6']
SMALL = dict(before=(9, 9), proposals=(6, 6), detections=4)


class Features(mask_rcnn.Model):
  """The part of the model that norms are in."""

  @nn.compact
  def __call__(self, image, *, train=False):
    return self.features(image, train)


def build(spec):
  return models.create('mask_rcnn', spec['num_classes'], **SMALL)


def networks(model, variables, image, inputs):
  """The pyramid, the network of proposals, and the heads on given boxes."""

  def features(train=False, epsilon=1e-5):
    own = Features(model.num_classes, f'resnet/50(epsilon={epsilon})')
    return forward.call(own, variables, image, train=train, parts=('backbone',))

  found = features()
  pyramid = found.out
  out = {
      'fpn_0': pyramid['c2'][:, ::8, ::8],
      'fpn_1': pyramid['c3'][:, ::4, ::4],
      'fpn_2': pyramid['c4'][:, ::2, ::2],
      'fpn_3': pyramid['c5'],
      'fpn_pool': pyramid['c6'],
      'backbone_c5': found.parts['backbone']['c5'][..., ::8],
      'fpn_3_eps0': features(epsilon=0.0).out['c5'],
  }
  found = features(train=True).out
  out['train_bn_fpn_3'] = found['c5']
  out['train_bn_fpn_1'] = found['c3'][:, ::4, ::4]

  detector = mask_rcnn.detector(model, pyramid)
  own = {'params': variables['params']['detector']}
  found = forward.call(
      detector,
      own,
      pyramid,
      method='first_stage',
      parts=('rpn/objectness', 'rpn/deltas'),
  ).parts
  for i in range(5):
    step = 4 if i == 0 else 1
    out[f'rpn_objectness_{i}'] = found['rpn/objectness'][i]
    out[f'rpn_deltas_{i}'] = found['rpn/deltas'][i][:, ::step, ::step]
  boxes = rows_first(np.stack([inputs['head_boxes_0'], inputs['head_boxes_1']]))
  read = quickly(detector.apply, bins=7, train=False, method='read')
  out['head_box_roi_sub'] = read(own, pyramid, boxes)[..., ::16]
  heads = forward.call(
      detector,
      own,
      pyramid,
      boxes,
      False,
      method='classify',
      parts=('box_head/fc7', 'box_head/classifier', 'box_head/deltas'),
  ).parts
  out['head_fc7'] = np.maximum(heads['box_head/fc7'], 0)
  out['head_class_logits'] = heads['box_head/classifier']
  deltas = heads['box_head/deltas']
  out['head_box_regression'] = deltas
  heads = forward.call(
      detector,
      own,
      pyramid,
      boxes,
      np.ones((2, 6), int),
      False,
      method='segment',
      parts=('mask_head', 'mask_head/conv4'),
  ).parts
  out['head_mask_features_sub'] = heads['mask_head/conv4'][..., ::64]
  out['head_mask_logits'] = heads['mask_head'][:, ::3, ::3]
  return out


def anchors():
  shapes = [(-(-SIZE[0] // s), -(-SIZE[1] // s)) for s in (4, 8, 16, 32, 64)]
  sizes = tuple((2 ** (5 + i),) for i in range(5))
  detector = two_stage.TwoStage(6, sizes)
  found = anchor_ops.anchors(
      shapes, detector.strides(LEVELS, shapes), sizes, detector.ratios
  )
  return found, [h * w * 3 for h, w in shapes]


def proposals(inputs):
  found, counts = anchors()
  logits, deltas = inputs['prop_objectness'][0], inputs['prop_deltas'][0]
  boxes, scores = quickly(
      detections.propose, counts=counts, size=SIZE, before=100, count=60
  )(logits, deltas, found)
  decoded = anchor_ops.decode(deltas[::7], found[::7])
  return {
      'rpn_anchors': rows_first(found),
      'prop_decoded_sub7': rows_first(decoded)[None],
      'prop_boxes': rows_first(boxes),
      'prop_scores': jax.nn.sigmoid(scores),
  }


def coder(inputs):
  boxes, deltas = rows_first(inputs['decode_boxes']), inputs['decode_deltas']
  weights = anchor_ops.BOX_WEIGHTS
  reference = rows_first(inputs['encode_reference'])
  return {
      'decode_rpn': rows_first(anchor_ops.decode(deltas, boxes)),
      'decode_head': rows_first(anchor_ops.decode(deltas, boxes, weights)),
      'encode_head': anchor_ops.encode(reference, boxes, weights),
  }


def detected(inputs):
  boxes, classes, scores = quickly(
      two_stage.best,
      **dict(size=SIZE, count=100, min_score=0.05, max_overlap=0.5),
  )(
      inputs['det_class_logits'],
      inputs['det_box_regression'].reshape(-1, 6, 4),
      jnp.asarray(rows_first(inputs['det_proposals'])),
      np.ones(40, bool),
  )
  there = scores > 0
  return {
      'det_boxes': rows_first(boxes[there]),
      'det_scores': scores[there],
      'det_labels': classes[there],
  }


def suppressed(inputs):
  boxes, scores, labels = (
      inputs[f'nms_{name}'] for name in ('boxes', 'scores', 'labels')
  )
  table = box_ops.overlaps(*2 * (rows_first(boxes),))
  same = labels[:, None] == labels

  def kept(table, limit):
    kept = np.flatnonzero(detections.suppress(scores, table, limit))
    return kept[np.argsort(-scores[kept], kind='stable')]

  return {
      'nms_keep_0.5': kept(table, 0.5),
      'nms_keep_0.7': kept(table, 0.7),
      'batched_nms_keep_0.5': kept(jnp.where(same, table, 0), 0.5),
      'nms_iou': table[:8, :10],
  }


def pasted(inputs):
  size = tuple(inputs['paste_size'].tolist())
  out = {}
  for name, rounded in (('torchvision', True), ('detectron2', False)):
    images = np.zeros((len(inputs['paste_masks']), *size), np.float32)
    boxes = rows_first(inputs['paste_boxes'])
    for image, grid, box in zip(
        images, inputs['paste_masks'], boxes, strict=True
    ):
      window, values = mask_files.paste(grid, box, size, rounded=rounded)
      image[window] = values
    out[f'paste_{name}'] = images[:, ::2, ::2]
  return out


def regions(inputs):
  out = {
      f'roi_align_{mode}': aligned(
          inputs['roi_features'], inputs['roi_rois'], mode
      )
      for mode in (
          *('aligned0_s2', 'aligned0_adaptive'),
          *('aligned1_s2', 'aligned1_adaptive'),
      )
  }
  maps = [inputs[f'msroi_features_{i}'] for i in range(4)]
  boxes = jnp.asarray(rows_first(inputs['msroi_boxes']))[None]
  levels = roi_align.level_of(boxes, 2, 5) - 2
  out['msroi_levels'] = levels[0]
  out['msroi_align'] = roi_align.pyramid_roi_align(
      maps, boxes, levels, (7, 7), scales=(1 / 4, 1 / 8, 1 / 16, 1 / 32)
  )[0]
  return out


def learnt(inputs):
  """Targets and losses of both stages."""
  found, _ = anchors()
  truth = jnp.asarray(rows_first(inputs['gt_boxes']))
  matched, labels = box_matching.match(
      box_ops.overlaps(found, truth), low=0.3, high=0.7, keep_best=True
  )
  # What is no object has the first true box in the original.
  targets = anchor_ops.encode(truth[jnp.where(labels > 0, matched, 0)], found)
  chosen = jnp.zeros(len(found), int).at[inputs['rpn_sampled']].set(1)
  chosen *= jnp.where(labels > 0, 1, -1)
  objectness, anchor_box = instances.anchor_losses(
      {
          'logits': inputs['prop_objectness'],
          'deltas': inputs['prop_deltas'],
          'boxes': found[None],
          'chosen': chosen[None],
          'matched': matched[None],
      },
      truth[None],
  )
  out = {
      'rpn_target_labels': labels,
      'rpn_target_deltas_sub7': targets[::7],
      'rpn_loss_objectness': objectness,
      'rpn_loss_box': anchor_box,
  }
  boxes = jnp.concatenate([rows_first(inputs['det_proposals']), truth])
  matched, labels = box_matching.match(
      box_ops.overlaps(boxes, truth), low=0.5, high=0.5, keep_best=False
  )
  classes = jnp.where(labels > 0, inputs['gt_labels'][matched], 0)
  logits, deltas = (
      jnp.concatenate([inputs[name], inputs[name][:3]])
      for name in ('det_class_logits', 'det_box_regression')
  )
  rois = {
      'class_logits': logits[None],
      'deltas': deltas.reshape(1, -1, 6, 4),
      'boxes': boxes[None],
      'classes': classes[None],
      'matched': matched[None],
  }
  of_class, box = instances.roi_losses(rois, truth[None])
  clamped = jnp.where(labels > 0, matched, 0)
  targets = anchor_ops.encode(truth[clamped], boxes, anchor_ops.BOX_WEIGHTS)
  out |= {
      'roi_target_matched': clamped,
      'roi_target_labels': classes,
      'roi_target_deltas': targets,
      'roi_loss_classifier': of_class,
      'roi_loss_box_reg': box,
  }
  # Each box as an image of its own, for masks of objects overlap here.
  rows = inputs['loss_mask_rows']
  ids = inputs['gt_masks'][matched[rows]]
  boxes, kinds = boxes[rows][:, None], classes[rows]
  logits = inputs['loss_mask_logits'][np.arange(4), ..., kinds]
  first = jnp.zeros((4, 1), int)
  masks = roi_align.mask_targets(ids, boxes, first + 1, 28)
  rois = {'boxes': boxes, 'classes': kinds[:, None], 'matched': first}
  return out | {
      'mask_targets': masks[:, 0],
      'roi_loss_mask': instances.mask_loss(logits[:, None], rois, ids),
  }


def transformed(inputs):
  """Images resized and normalised, and their sizes before padding."""
  ops = transforms.parse(
      'resize(32, mode="short", longest=50)|normalize((0.485, 0.456, 0.406),'
      ' (0.229, 0.224, 0.225))|pad(32, 64)'
  )
  found = [
      transforms.apply(ops, {'image': inputs[f'transform_image_{i}']})
      for i in (0, 1)
  ]
  return {
      'transform_batch': np.stack([x['image'][::2, ::2] for x in found]),
      'transform_sizes': [x['content'] for x in found],
  }


def procedure(model, variables, image, inputs):
  return (
      networks(model, variables, image, inputs)
      | proposals(inputs)
      | quickly(coder)(inputs)
      | detected(inputs)
      | suppressed(inputs)
      | pasted(inputs)
      | quickly(regions)(inputs)
      | quickly(learnt)(inputs)
      | transformed(inputs)
  )


CASES = {
    'mask_rcnn_r50_fpn': ProcedureCase(
        build,
        procedure,
        rules.find('torchvision', 'mask_rcnn', 'resnet/50'),
    )
}
