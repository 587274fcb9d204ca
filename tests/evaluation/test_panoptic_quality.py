import numpy as np
import pytest

from segjax.evaluation import panoptic_quality

# Two classes: 0 is stuff, 1 a thing. One row of ten pixels.
NONE = np.zeros(0, int)


def row(*ids):
  return np.array([ids])


def counts(truth, classes, predicted, predicted_classes, crowds=None, **more):
  crowds = np.zeros(len(classes)) if crowds is None else np.array(crowds)
  return panoptic_quality.counts(
      truth,
      np.array(classes, int),
      crowds,
      predicted,
      np.array(predicted_classes, int),
      2,
      **more,
  )


def test_a_segment_is_found_if_more_than_half_of_the_union_is_shared():
  truth = row(1, 1, 1, 1, 1, 1, 2, 2, 2, 2)
  found = row(1, 1, 1, 1, 2, 2, 2, 2, 2, 2)
  total = counts(truth, [0, 1], found, [0, 1])
  np.testing.assert_allclose(total, [[4 / 6, 1, 0, 0], [4 / 6, 1, 0, 0]])


def test_half_of_the_union_is_not_enough():
  truth, found = row(1, 1, 1, 1), row(1, 1, 0, 0)
  total = counts(truth, [1], found, [1])
  np.testing.assert_array_equal(total, [[0, 0, 0, 0], [0, 0, 1, 1]])


def test_a_segment_of_another_class_is_wrong_and_the_true_one_missed():
  ids = row(1, 1, 1, 1)
  total = counts(ids, [0], ids, [1])
  np.testing.assert_array_equal(total, [[0, 0, 0, 1], [0, 0, 1, 0]])


def test_predicted_pixels_on_void_are_not_of_the_union():
  truth, found = row(1, 1, 0, 0, 0), row(1, 1, 1, 1, 1)
  total = counts(truth, [1], found, [1])
  np.testing.assert_array_equal(total[1], [1, 1, 0, 0])


@pytest.mark.parametrize(('void', 'wrong'), [(2, 1), (3, 0)])
def test_what_lies_mostly_on_void_is_not_wrong(void, wrong):
  truth = row(*[0] * void, *[1] * (4 - void), *[1] * 20)
  found = row(1, 1, 1, 1, *[0] * 20)
  total = counts(truth, [0], found, [1])
  np.testing.assert_array_equal(total, [[0, 0, 0, 1], [0, 0, wrong, 0]])


@pytest.mark.parametrize(('kind', 'wrong'), [(1, 0), (0, 1)])
def test_a_crowd_is_neither_found_nor_missed_and_excuses_its_class(kind, wrong):
  ids = row(1, 1, 1, 1)
  total = counts(ids, [kind], ids, [1], crowds=[1])
  np.testing.assert_array_equal(total, [[0, 0, 0, 0], [0, 0, wrong, 0]])


def test_a_true_segment_without_a_pixel_is_not_missed():
  total = counts(row(1, 1), [1, 1], row(1, 1), [1, 255])
  np.testing.assert_array_equal(total[1], [1, 1, 0, 0])


def test_a_shift_that_masks_forgive_is_seen_at_the_boundary():
  truth = np.zeros((40, 40), int)
  truth[10:30, 10:30] = 1
  found = np.roll(truth, 2, 1)
  mask = counts(truth, [1], found, [1])
  boundary = counts(truth, [1], found, [1], boundary=True)
  assert mask[1, 1] == 1
  # The truth without its void: what is predicted beyond does not count.
  np.testing.assert_allclose(mask[1, 0], 18 / 20)
  assert boundary[1, 0] < mask[1, 0]


def test_counts_of_images_add_up():
  one = counts(row(1, 1, 2, 2), [0, 1], row(1, 1, 2, 2), [0, 1])
  other = counts(row(1, 1, 1, 1), [1], row(0, 0, 0, 0), NONE)
  scores = panoptic_quality.scores(one + other, things=(1,))
  assert scores['PQ_stuff'] == 1
  np.testing.assert_allclose(scores['PQ_things'], 1 / 1.5)
  np.testing.assert_allclose(scores['PQ'], (1 + 1 / 1.5) / 2)
  assert scores['SQ'] == 1


def test_a_class_that_does_not_occur_is_left_out_of_the_means():
  total = counts(row(1, 1), [1], row(1, 1), [1])
  scores = panoptic_quality.scores(total, things=(1,))
  assert scores['PQ'] == 1
  assert np.isnan(scores['PQ_stuff'])
  assert np.isnan(scores['class_PQ'][0])


def test_segments_that_no_row_describes_are_refused():
  with pytest.raises(ValueError, match='truth has segments 1 to 3; its table'):
    counts(row(1, 3), [0, 1], row(1, 1), [0])
  with pytest.raises(ValueError, match='Segment 2 of the prediction has the'):
    counts(row(1, 1), [0], row(1, 2), [0, 255])
  with pytest.raises(ValueError, match='differ in size'):
    counts(row(1, 1), [0], row(1, 1, 1), [0])
