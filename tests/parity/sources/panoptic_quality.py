"""panopticapi, and boundary-iou-api: panoptic quality of three images."""

import numpy as np

from segjax.evaluation import panoptic_quality
from tests.parity.case import FunctionCase


def dense(ids, table):
  """Returns ids in the order of a table's rows, from 1 on."""
  result = np.zeros(ids.shape, np.int32)
  for row, old in enumerate(table[:, 1], 1):
    result[ids == old] = row
  return result


def total(inputs, boundary):
  """Sums the counts of the images; classes are rows of `categories`."""
  order = inputs['categories'][:, 0].tolist()
  result = 0
  for image in range(len(inputs['gt_ids'])):
    truth = inputs['gt_segments'][inputs['gt_segments'][:, 0] == image]
    ours = inputs['pred_segments'][inputs['pred_segments'][:, 0] == image]
    result = result + panoptic_quality.counts(
        dense(inputs['gt_ids'][image], truth),
        np.array([order.index(c) for c in truth[:, 2]]),
        truth[:, 3],
        dense(inputs['pred_ids'][image], ours),
        np.array([order.index(c) for c in ours[:, 2]]),
        len(order),
        boundary=boundary,
    )
  return result


def per_class(inputs, boundary):
  scores = panoptic_quality.scores(total(inputs, boundary), ())
  columns = [scores[f'class_{name}'] for name in ('PQ', 'SQ', 'RQ')]
  return np.nan_to_num(np.stack(columns, -1))


def average(inputs, boundary):
  categories = inputs['categories']
  things = tuple(np.flatnonzero(categories[:, 1]))
  counts = total(inputs, boundary)
  scores = panoptic_quality.scores(counts, things)
  occurs = counts[:, 1:].sum(1) > 0
  thing = categories[:, 1] == 1
  return np.array(
      [
          [*(scores[f'{name}{kind}'] for name in ('PQ', 'SQ', 'RQ')), n.sum()]
          for kind, n in (
              ('', occurs),
              ('_things', occurs & thing),
              ('_stuff', occurs & ~thing),
          )
      ]
  )


def of(function, boundary):
  return lambda inputs: function(inputs, boundary)


CASES = {
    'metrics_panoptic': FunctionCase(
        {
            f'{prefix}{name}': of(function, bool(prefix))
            for prefix in ('', 'boundary_')
            for name, function in {
                'counts': total,
                'per_class': per_class,
                'average': average,
            }.items()
        }
    )
}
