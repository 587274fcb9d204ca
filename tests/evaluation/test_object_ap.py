import numpy as np
import pytest

from segjax.evaluation import cityscapes_ap
from segjax.evaluation import coco_ap
from segjax.evaluation import masks

BIG = 200.0  # An area that Cityscapes counts.


def coco(images, totals=None):
  """Scores of one class; an image is (table, scores, crowds)."""
  rows, counts = [], 0
  for number, (table, scores, crowds) in enumerate(images):
    table = np.array(table, float).reshape(len(scores), len(crowds))
    more, total = coco_ap.match(
        table,
        scores,
        np.full(len(scores), 50.0),
        np.full(len(crowds), 50.0),
        crowds,
        category=0,
        image=number,
    )
    rows.append(more)
    counts = counts + total
  return coco_ap.accumulate(np.concatenate(rows), counts[None])


def ap(images, threshold=0):
  precision, _ = coco(images)
  return precision[threshold, :, 0, 0, -1].mean()


def test_a_second_detection_of_an_object_is_wrong():
  assert ap([([[0.9], [0.95]], [0.8, 0.7], [False])]) == pytest.approx(1)
  # The better one comes second, so half of the first two are right.
  twice = [([[0.9, 0], [0.95, 0], [0, 0.9]], [0.8, 0.7, 0.6], [False] * 2)]
  expected = (51 + 50 * 2 / 3) / 101
  assert ap(twice) == pytest.approx(expected)


def test_detections_of_a_crowd_do_not_count():
  inside = [([[0.9, 0], [0, 0.8], [0, 0.9]], [0.5, 0.9, 0.8], [False, True])]
  assert ap(inside) == pytest.approx(1)
  outside = [([[0.9, 0], [0, 0.3], [0, 0.3]], [0.5, 0.9, 0.8], [False, True])]
  assert ap(outside) == pytest.approx(1 / 3)


def test_an_object_that_counts_goes_before_a_crowd():
  # The crowd overlaps more, and is taken at thresholds where nothing else is.
  image = [([[0.6, 0.9]], [0.9], [False, True])]
  precision, recall = coco(image)
  found = precision[:, 0, 0, 0, -1]
  np.testing.assert_allclose(found, [1] * 3 + [0] * 7)
  assert recall[:, 0, 0, -1].tolist() == [1] * 3 + [0] * 7


def test_objects_of_another_size_are_left_out():
  # All have 50 pixels: small ones.
  precision, recall = coco([([[0.9]], [0.9], [False])])
  np.testing.assert_allclose(precision[0, 0, 0, :, -1], [1, 1, -1, -1])
  numbers = coco_ap.summarize(precision, recall)
  assert numbers['AP_small'] == pytest.approx(0.9)  # Of ten thresholds.
  assert np.isnan(numbers['AP_large'])


def test_images_are_joined_by_score_and_then_by_their_number():
  first = ([[0.9]], [0.5], [False])
  other = ([[0.0]], [0.5], [False])
  assert ap([first, other]) == pytest.approx(51 / 101)
  assert ap([other, first]) == pytest.approx(51 / 101 / 2)


def test_recall_is_of_the_best_detections():
  _, recall = coco([([[0.0], [0.9]], [0.9, 0.8], [False])])
  assert recall[0, 0, 0].tolist() == [0, 1, 1]


def cityscapes(shared, scores, areas=None, truth=None, groups=None, void=None):
  shared = np.array(shared, float)
  count, objects = shared.shape
  rows, missed, total = cityscapes_ap.match(
      shared,
      scores,
      np.array(areas or [BIG] * count),
      np.array(truth or [BIG] * objects),
      groups or [False] * objects,
      np.array(void or [0] * count),
      category=0,
  )
  return cityscapes_ap.average_precision(rows, missed[None], np.array([total]))[
      0
  ]


def test_an_overlap_has_to_be_greater_than_the_threshold():
  table = cityscapes([[150.0]], [0.9])  # 150 of 250.
  assert (table > 0).tolist() == [True] * 2 + [False] * 8


def test_an_object_takes_the_best_score_of_those_that_overlap_it():
  # The better overlap has the lower score, and is the one that is wrong.
  assert cityscapes([[190.0], [180.0]], [0.4, 0.8])[0] == pytest.approx(1)


def test_what_lies_on_void_groups_and_small_objects_is_not_wrong():
  right = [190.0, 0, 0]
  for wrong, void in (([0, 150.0, 0], 0), ([0, 0, 55.0], 60), ([0, 0, 0], 150)):
    table = cityscapes(
        [right, wrong],
        [0.5, 0.9],
        truth=[BIG, BIG, 60.0],
        groups=[False, True, False],
        void=[0, void],
    )
    assert table[0] == pytest.approx(1)
    assert table[-1] == pytest.approx(0)  # Not enough of it, at 0.95.


def test_a_class_without_objects_has_no_value_and_without_finds_0():
  assert np.isnan(cityscapes(np.zeros((1, 0)), [0.9])).all()
  assert (cityscapes(np.zeros((0, 1)), []) == 0).all()


@pytest.mark.parametrize('rounded', [True, False])
def test_a_grid_of_ones_covers_its_box(rounded):
  window, values = masks.paste(
      np.ones((8, 8)), [3, 4, 11, 16], (20, 20), rounded=rounded
  )
  mask = np.zeros((20, 20), bool)
  mask[window] = values > 0.5
  expected = np.zeros((20, 20), bool)
  expected[3:11, 4:16] = True
  # torchvision's has both ends of the box.
  assert (mask != expected).sum() <= (20 if rounded else 0)
  assert (mask | ~expected).all()


@pytest.mark.parametrize('box', [[-9, -9, -2, 50], [5, 5, 5, 5], [0, 0, 40, 9]])
@pytest.mark.parametrize('rounded', [True, False])
def test_boxes_beyond_an_image_and_without_area_are_cut(box, rounded):
  window, values = masks.paste(np.ones((4, 4)), box, (10, 12), rounded=rounded)
  assert np.zeros((10, 12))[window].shape == values.shape
