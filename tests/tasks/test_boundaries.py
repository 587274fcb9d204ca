import jax
import numpy as np

from segjax import losses
from segjax.data.label_map import LabelMap
from segjax.ops import directions as ops
from segjax.tasks import boundaries

CLASSES = LabelMap(('sky', 'road'), ((0, 0, 9), (9, 0, 0)), {0: 0, 1: 1})
LEFT, UP, RIGHT, DOWN = 0, 2, 4, 6


def halves():
  """Sky on the left, road on the right, and a void row at the bottom."""
  label = np.zeros((16, 40), np.uint8)
  label[:, 20:] = 1
  label[-1] = 255
  return label


def test_near_an_outline_the_truth_points_away_from_it():
  truth = boundaries.truth(halves())
  assert (truth[-1] == 255).all()
  row = truth[4]
  # Distances are rounded down, so 5 pixels on each side are near, and the row
  # at the bottom is an outline, too.
  assert list(row[:15]) == [0] * 15
  assert list(row[15:20]) == [1 + LEFT] * 5
  assert list(row[20:25]) == [1 + RIGHT] * 5
  assert list(row[25:]) == [0] * 15
  assert truth[12, 3] == 1 + UP


def test_directions_are_learnt_where_the_system_sees_an_outline():
  label = halves()[None]
  distance = np.full(label.shape, 3, np.uint8)
  angle = np.zeros(label.shape, np.float32)  # To the right.
  logits = np.zeros((*label.shape, 2 + ops.COUNT), np.float32)
  logits[..., 0] = 1.0
  logits[0, 3:5, 10, 1] = 2.0  # Two pixels are seen, and one that is void.
  logits[0, -1, 10, 1] = 2.0
  batch = {'label': label, 'distance': distance, 'angle': angle}
  pixel = losses.build('cross_entropy')

  def directions(logits):
    return boundaries.loss({'logits': logits}, batch, None, pixel=pixel)[1][
        'direction'
    ]

  value, gradient = jax.value_and_grad(directions)(logits)
  np.testing.assert_allclose(value, np.log(ops.COUNT), rtol=1e-6)
  touched = np.argwhere(np.abs(gradient).max(-1) > 0)
  assert touched.tolist() == [[0, 3, 10], [0, 4, 10]]
  assert gradient[0, 3, 10, 2 + RIGHT] < 0


def test_what_is_predicted_is_scored_against_the_directions_of_the_label():
  example = {'label': halves(), 'name': 'halves'}
  scores = boundaries.scores(CLASSES)
  scores.add(example, {'labels': np.zeros_like(halves())})
  found = scores.compute()
  truth = boundaries.truth(halves())
  inside = (truth == 0).sum() / (truth != 255).sum()
  np.testing.assert_allclose(found['accuracy'], inside)
  assert found['IoU/right'] == 0
  scores = boundaries.scores(CLASSES)
  right = np.where(truth == 255, 0, truth).astype(np.uint8)
  scores.add(example, {'labels': right})
  assert scores.compute()['mIoU'] == 1


def test_a_pixel_is_near_an_outline_above_the_threshold():
  logits = np.zeros((1, 1, 3, 2 + ops.COUNT), np.float32)
  logits[..., 2 + DOWN] = 1.0
  out = {'logits': logits, 'boundary': np.float32([[[0.2, 0.5, 0.6]]])}
  labels = boundaries.predict(out, CLASSES)['labels']
  assert labels.tolist() == [[[0, 0, 1 + DOWN]]]
  labels = boundaries.predict(out, CLASSES, threshold=0.1)['labels']
  assert labels.tolist() == [[[1 + DOWN] * 3]]
