import pathlib

import numpy as np
import pytest

from segjax.evaluation import semantic

FIXTURE = pathlib.Path(__file__).parent / 'metrics_semantic.npz'


@pytest.fixture(scope='module')
def expected():
  """Made-up label maps and what mmsegmentation 1.2.2 says of them."""
  with np.load(FIXTURE) as file:
    return dict(file)


def total(predictions, labels, num_classes=7):
  return sum(
      semantic.confusion(prediction, label, num_classes)
      for prediction, label in zip(predictions, labels, strict=True)
  )


def test_confusion_equals_the_reference(expected):
  matrix = total(expected['in_pred'], expected['in_gt'])
  assert matrix.dtype == np.int64
  np.testing.assert_array_equal(matrix, expected['confusion'])


def test_confusion_equals_a_loop_over_pixels():
  rng = np.random.default_rng(0)
  label = rng.choice(np.uint8([0, 1, 2, 255]), (9, 7))
  prediction = np.uint8(rng.integers(0, 3, (9, 7)))
  matrix = np.zeros((3, 3), np.int64)
  for truth, guess in zip(label.ravel(), prediction.ravel(), strict=True):
    if truth != 255:
      matrix[truth, guess] += 1
  np.testing.assert_array_equal(
      semantic.confusion(prediction, label, 3), matrix
  )


@pytest.mark.parametrize(
    ('name', 'key'),
    [
        ('mIoU', 'mean_iou'),
        ('mean_accuracy', 'mean_accuracy'),
        ('accuracy', 'pixel_accuracy'),
        ('fwIoU', 'frequency_weighted_iou'),
        ('dice', 'mean_dice'),
        ('class_IoU', 'iou_per_class_nan'),
        ('class_accuracy', 'accuracy_per_class_nan'),
        ('class_dice', 'dice_per_class_nan'),
    ],
)
def test_scores_equal_the_reference(expected, name, key):
  scores = semantic.scores(total(expected['in_pred'], expected['in_gt']))
  np.testing.assert_allclose(scores[name], expected[key], rtol=1e-14)


def test_precision_is_the_part_of_a_prediction_that_is_right():
  matrix = np.array([[6, 2, 0], [1, 3, 0], [0, 5, 0]])
  np.testing.assert_allclose(
      semantic.scores(matrix)['class_precision'], [6 / 7, 3 / 10, np.nan]
  )


@pytest.mark.parametrize(
    ('absent', 'key'),
    [
        ('skip', 'mean_iou'),
        ('zero', 'mean_iou_absent_as_zero'),
        ('truth', 'mean_iou_gt_classes_only'),
    ],
)
def test_mean_iou_follows_each_convention_for_absent_classes(
    expected, absent, key
):
  matrix = total(expected['in_pred'], expected['in_gt'])
  score = semantic.scores(matrix, absent)['mIoU']
  np.testing.assert_allclose(score, expected[key], rtol=1e-14)


def test_an_unknown_convention_is_refused():
  with pytest.raises(ValueError, match=r"'drop' is not one of \('skip'"):
    semantic.scores(np.eye(2), 'drop')


@pytest.mark.parametrize('absent', semantic.ABSENT)
def test_without_a_valid_pixel_every_score_is_nan(absent):
  label = np.full((4, 4), 255, np.uint8)
  matrix = semantic.confusion(np.zeros((4, 4), np.uint8), label, 3)
  assert not matrix.any()
  for value in semantic.scores(matrix, absent).values():
    assert np.isnan(value).all()


def test_scores_count_single_pixels_among_billions():
  # float32 would hold 2^31 + 1 as 2^31, and int32 as a negative number.
  matrix = np.array([[2**31 + 1, 0], [0, 1]])
  assert semantic.scores(matrix)['accuracy'] == 1
  matrix[0, 1] = 1
  assert 0 < 1 - semantic.scores(matrix)['accuracy'] < 1e-9


def test_maps_of_different_sizes_are_refused():
  with pytest.raises(ValueError, match=r'\(4, 4\) and label \(4, 5\)'):
    semantic.confusion(np.zeros((4, 4), int), np.zeros((4, 5), int), 2)


@pytest.mark.parametrize('name', ['prediction', 'label'])
def test_ids_beyond_the_classes_are_refused(name):
  maps = {'prediction': np.zeros((2, 2), int), 'label': np.zeros((2, 2), int)}
  maps[name][0, 0] = 7
  with pytest.raises(
      ValueError, match=f'{name} has ids from 0 to 7; .* 0 to 2'
  ):
    semantic.confusion(**maps, num_classes=3)
