import math
import pathlib

import cv2
import numpy as np
import pytest

from segjax.evaluation import boundary
from segjax.evaluation import semantic

FIXTURE = pathlib.Path(__file__).parent / 'metrics_semantic.npz'


@pytest.fixture(scope='module')
def expected():
  """Made-up label maps and what the papers' own code says of them."""
  with np.load(FIXTURE) as file:
    return dict(file)


@pytest.mark.parametrize('percent', [2, 5])
@pytest.mark.parametrize('i', [0, 1])
def test_boundary_iou_equals_the_reference(expected, i, percent):
  counts = boundary.band_counts(
      expected['in_pred'][i], expected['in_gt'][i], 7, ratio=percent / 100
  )
  np.testing.assert_allclose(
      semantic.iou(*counts),
      expected[f'boundary_iou_{percent:02d}_nan'][i],
      rtol=1e-14,
  )


@pytest.mark.parametrize('size', [(40, 60), (61, 33), (5, 5), (1, 9)])
@pytest.mark.parametrize('ratio', [0.001, 0.02, 0.2])
def test_bands_equal_masks_minus_their_erosion(size, ratio):
  rng = np.random.default_rng(0)
  maps = rng.integers(0, 4, (2, 8, 12), np.uint8)
  label, prediction = (
      cv2.resize(m, size[::-1], interpolation=cv2.INTER_NEAREST) for m in maps
  )
  label[: size[0] // 4] = 255
  width = max(1, round(ratio * math.hypot(*size)))

  def band(mask):
    padded = np.pad(np.uint8(mask), 1)
    eroded = cv2.erode(padded, np.ones((3, 3)), iterations=width)
    return mask & (eroded[1:-1, 1:-1] == 0)

  expected = []
  for c in range(4):
    truth, guess = band(label == c), band((prediction == c) & (label != 255))
    expected.append([(truth & guess).sum(), truth.sum(), guess.sum()])
  counts = boundary.band_counts(prediction, label, 4, ratio=ratio)
  assert counts.dtype == np.int64
  np.testing.assert_array_equal(counts, np.transpose(expected))


def test_boundary_iou_sees_errors_that_iou_hides():
  label = np.zeros((200, 200), np.uint8)
  label[20:180, 20:180] = 1
  prediction = np.zeros_like(label)
  prediction[23:177, 23:177] = 1
  matrix = semantic.confusion(prediction, label, 2)
  bands = boundary.band_counts(prediction, label, 2)
  assert semantic.scores(matrix)['class_IoU'][1] > 0.9
  assert semantic.iou(*bands)[1] < 0.5


@pytest.mark.parametrize(
    'tolerance', ['0.00088', '0.001875', '0.00375', '0.005', '0.02', '0.05']
)
@pytest.mark.parametrize('i', [0, 1])
def test_boundary_f_equals_the_reference(expected, i, tolerance):
  score = boundary.boundary_f(
      expected['in_pred'][i],
      expected['in_gt'][i],
      7,
      tolerance=float(tolerance),
  )
  np.testing.assert_allclose(
      score, expected[f'boundary_f_{tolerance}'][i], rtol=1e-14
  )


def test_boundary_f_of_a_class_in_truth_or_prediction_alone_is_zero():
  label = np.zeros((9, 9), np.uint8)
  prediction = label.copy()
  prediction[3:6, 3:6] = 1
  np.testing.assert_array_equal(
      boundary.boundary_f(prediction, label, 3), [0, 0, 1]
  )


def test_ignored_pixels_do_not_matter():
  rng = np.random.default_rng(0)
  label = rng.integers(0, 3, (30, 30), np.uint8)
  label[10:20, 5:25] = 255
  prediction = rng.integers(0, 3, (30, 30), np.uint8)
  other = np.where(label == 255, 2 - prediction, prediction)
  for measure in (boundary.band_counts, boundary.boundary_f):
    np.testing.assert_array_equal(
        measure(prediction, label, 3), measure(other, label, 3)
    )


def test_boundary_accuracy_looks_near_true_outlines_alone():
  label = np.zeros((60, 90), np.uint8)
  label[:, 45:] = 1
  label[:20] = 255
  prediction = label.copy()
  prediction[label == 255] = 0
  assert boundary.boundary_accuracy(prediction, label) == 1
  prediction[30:, :20] = 1  # Far from the outline.
  assert boundary.boundary_accuracy(prediction, label) == 1
  prediction[40:60, 45] = 0  # One of two columns, in half of the rows.
  share = boundary.boundary_accuracy(prediction, label)
  # The row next to the ignored ones is near an outline, too.
  counted = boundary.near_outlines(label, 1) & (label != 255)
  np.testing.assert_allclose(share, 1 - 20 / counted.sum())
  # As published, ignored pixels near outlines are lost.
  published = boundary.boundary_accuracy(
      prediction, label, subtract_ignored=True
  )
  assert published < share


def test_without_an_outline_there_is_no_boundary_accuracy():
  label = np.ones((20, 30), np.uint8)
  assert np.isnan(boundary.boundary_accuracy(label, label))


def test_the_union_of_the_gradients_of_all_masks_is_found_at_once():
  label = np.random.default_rng(0).integers(0, 4, (7, 9)).astype(np.uint8)
  label = label.repeat(8, 0).repeat(8, 1)
  for radius in (1, 3):
    disk = cv2.getStructuringElement(
        cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)
    )
    union = np.zeros(label.shape, bool)
    for k in range(4):
      mask = np.uint8(label == k)
      union |= (cv2.dilate(mask, disk) - cv2.erode(mask, disk)) > 0
    np.testing.assert_array_equal(boundary.near_outlines(label, radius), union)


def test_images_of_1500_pixels_of_sides_look_up_to_four_pixels_far():
  assert boundary.boundary_radii((96, 128)) == [1] * 5
  assert boundary.boundary_radii((500, 1000)) == [1, 1, 2, 3, 4]
