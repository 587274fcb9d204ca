"""Systems on region proposals, as their authors released them for Caffe."""

import jax
import numpy as np

from segjax import models
from segjax.convert.rules.caffe import hypercolumns
from segjax.convert.rules.caffe import sds
from segjax.models.sds import Network
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def rectangles(image, given):
  """Boxes as proposals, and their categories; class 0 is the background."""
  boxes = given['in_boxes_pixels'].astype(int)
  proposals = np.zeros((*image.shape[:3], len(boxes)), np.uint8)
  for i, (x0, y0, x1, y1) in enumerate(boxes):
    proposals[0, y0 : y1 + 1, x0 : x1 + 1, i] = 1
  categories = given['in_categories'].astype(np.uint8)[None] + 1
  return {'proposals': proposals, 'categories': categories}


def windows(image, given):
  return {'mask': given['in_mask'], 'cells': given['in_mask10']}


def columns(grid):
  return Case(
      lambda spec: models.create(
          'hypercolumns',
          spec['num_classes'] + 1,
          grid=grid,
          classify=False,
          dropout=0.0,
      ),
      hypercolumns.RULES,
      {
          'masks': lambda out, parts: jax.nn.sigmoid(out['masks']['figure'][0]),
          'fc7': inside('hidden'),
          'conv_pool3': inside('columns/pool3', every=16),
          'conv_pool4': inside('columns/pool4', every=16),
          'scores_box0': lambda out, parts: parts['columns'][:, 0, ..., ::8],
      },
      parts=('hidden', 'columns', 'columns/pool3', 'columns/pool4'),
      inputs=rectangles,
  )


CASES = {
    'hypercolumns': columns(10),
    'hypercolumns_g5': columns(5),
    'sds': Case(
        lambda spec: Network(spec['num_classes'], dropout=0.0),
        sds.NETWORK,
        {
            'logits': returned('class_logits'),
            'norm2_1': inside('box', 'c4', every=8),
            'pool5_1': inside('box', 'c5', every=8),
            'pool5_2': inside('region', 'c5', every=8),
            'join': lambda out, parts: np.concatenate(
                [parts[path]['fc7'] for path in ('box', 'region')], -1
            ),
            'svm_scores': returned('svm_scores'),
            'coarse_mask': lambda out, parts: jax.nn.sigmoid(
                out['coarse'][:, 0]
            ),
        },
        parts=('box', 'region'),
        inputs=windows,
    ),
}
