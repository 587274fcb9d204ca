"""Average precision of pycocotools and cityscapesScripts, and COCO's masks."""

import functools

import numpy as np

from segjax.data import boxes as box_data
from segjax.data import coco_masks
from segjax.evaluation import cityscapes_ap
from segjax.evaluation import coco_ap
from tests.parity.case import FunctionCase

NAMES = (
    *('AP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large'),
    *('AR1', 'AR10', 'AR100', 'AR_small', 'AR_medium', 'AR_large'),
)


def yx(boxes):
  """Boxes x y width height as y0 x0 y1 x1."""
  x, y, width, height = np.moveaxis(boxes, -1, 0)
  return np.stack([y, x, y + height, x + width], -1)


def xywh(boxes):
  y0, x0, y1, x1 = np.moveaxis(boxes, -1, 0)
  return np.stack([x0, y0, x1 - x0, y1 - y0], -1)


def bounds(inputs):
  """The boxes and the areas of the true masks."""
  found = [box_data.bounds(m.astype(int), 1) for m in inputs['gt_masks']]
  boxes, areas = zip(*found, strict=True)
  return np.concatenate(boxes), np.concatenate(areas)


def mask_overlaps(found, truth, crowds):
  found, truth = (x.astype(float) for x in (found, truth))
  shared = np.tensordot(found, truth, ((1, 2), (1, 2)))
  return coco_ap.overlaps(shared, found.sum((1, 2)), truth.sum((1, 2)), crowds)


def coco(inputs, kind):
  """Precision and recall of masks or of boxes."""
  truth, found = inputs['gt_rows'], inputs['dt_rows']
  true_boxes, true_areas = bounds(inputs)
  boxes = yx(inputs['dt_boxes_xywh'])
  areas = inputs['dt_boxes_xywh'][:, 2:].prod(-1)
  if kind == 'segm':
    areas = inputs['dt_masks'].sum((1, 2))
    # The boxes are then those of the masks, and do not matter.
  rows, totals = [], np.zeros((4, len(coco_ap.AREAS)), int)
  for image in np.unique(truth[:, 0]):
    for category in range(1, 5):
      t = np.flatnonzero((truth[:, :2] == (image, category)).all(1))
      f = np.flatnonzero((found == (image, category)).all(1))
      crowds = truth[t, 2] == 1
      if kind == 'segm':
        table = mask_overlaps(
            inputs['dt_masks'][f], inputs['gt_masks'][t], crowds
        )
      else:
        table = coco_ap.box_overlaps(boxes[f], true_boxes[t], crowds)
      more, counts = coco_ap.match(
          table,
          inputs['dt_scores'][f],
          areas[f],
          true_areas[t],
          crowds,
          category=category - 1,
          image=image,
      )
      rows.append(more)
      totals[category - 1] += counts
  return coco_ap.accumulate(np.concatenate(rows), totals)


def curves(inputs, kind):
  precision, recall = coco(inputs, kind)
  numbers = coco_ap.summarize(precision, recall)
  return (
      undefined([numbers[name] for name in NAMES]),
      precision[..., 0, -1],
      recall,
      undefined(coco_ap.per_class(precision)),
  )


def undefined(values):
  """What has no value is -1 in the original."""
  return np.nan_to_num(np.asarray(values, float), nan=-1.0)


def first_overlaps(inputs, kind):
  """Of six detections and five true objects, the third taken as a crowd."""
  crowds = np.arange(5) == 2
  if kind == 'mask':
    return mask_overlaps(inputs['dt_masks'][:6], inputs['gt_masks'][:5], crowds)
  return coco_ap.box_overlaps(
      yx(inputs['dt_boxes_xywh'][:6]), bounds(inputs)[0][:5], crowds
  )


def polygon(inputs):
  corners = inputs['polygon'].reshape(-1, 2)
  filled = coco_masks.fill_polygon(corners, inputs['rle_mask'].shape)
  return filled.astype(np.uint8)


def cityscapes(inputs):
  classes = inputs['class_ids'].tolist()
  void = np.isin(inputs['gt_ids'], (0, 4, 5, 6))
  unpacked = np.unpackbits(inputs['pred_masks'], axis=-1, count=90).astype(bool)
  rows, totals = [], np.zeros(len(classes), int)
  missed = np.zeros((len(classes), len(cityscapes_ap.THRESHOLDS)), int)
  for image, ids in enumerate(inputs['gt_ids']):
    for k, label in enumerate(classes):
      own = [i for i in np.unique(ids) if label in (i, i // 1000)]
      mine = (inputs['pred_rows'][:, :2] == (image, label)).all(1)
      found = unpacked[mine]
      truth = np.array([ids == i for i in own]).reshape(-1, *ids.shape)
      more, lost, total = cityscapes_ap.match(
          np.einsum('phw,ghw->pg', found, truth.astype(int)),
          inputs['pred_rows'][mine, 2],
          found.sum((1, 2)),
          truth.sum((1, 2)),
          np.array(own) < 1000,
          (found & void[image]).sum((1, 2)),
          category=k,
      )
      rows.append(more)
      missed[k] += lost
      totals[k] += total
  table = cityscapes_ap.average_precision(np.concatenate(rows), missed, totals)
  each = table.mean(1)
  return (
      undefined(table),
      [np.nanmean(table), np.nanmean(table[:, 0])],
      undefined(each),
      undefined(table[:, 0]),
  )


CASES = {
    'metrics_coco_ap': FunctionCase(
        {
            **{
                tuple(
                    f'{kind}_{name}'
                    for name in (
                        *('stats', 'precision', 'recall'),
                        'ap_per_category',
                    )
                ): functools.partial(curves, kind=kind)
                for kind in ('bbox', 'segm')
            },
            'gt_boxes_xywh': lambda inputs: xywh(bounds(inputs)[0]),
            'gt_area': lambda inputs: bounds(inputs)[1],
            'rle_counts': lambda inputs: coco_masks.run_lengths(
                inputs['rle_mask']
            ),
            'rle_string_bytes': lambda inputs: list(
                coco_masks.encode(inputs['rle_mask'])['counts'].encode()
            ),
            'polygon_mask': polygon,
            'mask_iou': lambda inputs: first_overlaps(inputs, 'mask'),
            'box_iou': lambda inputs: first_overlaps(inputs, 'box'),
        },
        within=1e-9,
    ),
    'cityscapes_ap': FunctionCase(
        {('ap_matrix', 'average', 'class_ap', 'class_ap50'): cityscapes},
        within=1e-9,
    ),
}
