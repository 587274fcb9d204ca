import numpy as np
import pytest

from segjax.evaluation import partitions

MEMBRANE, CELL = 0, 1


def cells(*columns, height=6, width=12):
  """A label map of cells with membranes in some columns."""
  label = np.full((height, width), CELL, np.uint8)
  label[:, list(columns)] = MEMBRANE
  return label


def scores(prediction, label):
  values = partitions.scores(prediction, label, MEMBRANE)
  return dict(zip(partitions.NAMES, values, strict=True))


def test_two_cells_that_are_merged():
  label = cells(5, 6)  # Two of 5 columns.
  result = scores(cells(), label)
  # Pairs in both: 1/4 + 1/4; in the truth as many, in the prediction all.
  assert result['V_rand'] == pytest.approx(2 * 0.5 / (0.5 + 1))
  assert result['V_info'] == pytest.approx(0)
  assert result['pixel_error'] == pytest.approx(2 / 12)


def test_a_cell_that_is_split_by_a_membrane_of_which_each_gets_half():
  result = scores(cells(2, 3), cells())  # Into 3 and 9 columns.
  pairs = 0.25**2 + 0.75**2
  assert result['V_rand'] == pytest.approx(2 * pairs / (1 + pairs))
  assert result['V_info'] == pytest.approx(0)
  assert result['pixel_error'] == pytest.approx(2 / 12)


def test_a_membrane_that_is_shifted():
  label = cells(4, width=9)  # Two of 4 columns.
  result = scores(
      cells(6, width=9), label
  )  # After 4 of one cell, 2 of another.
  table = np.array([[4, 0], [2, 2]]) / 8
  pairs = np.square(table).sum()
  by_true, by_predicted = 0.5**2 * 2, 0.75**2 + 0.25**2
  assert result['V_rand'] == pytest.approx(2 * pairs / (by_true + by_predicted))
  entropy = {
      name: -sum(p * np.log(p) for p in parts)
      for name, parts in (
          ('true', (0.5, 0.5)),
          ('predicted', (0.75, 0.25)),
          ('both', (0.5, 0.25, 0.25)),
      )
  }
  mutual = entropy['true'] + entropy['predicted'] - entropy['both']
  assert result['V_info'] == pytest.approx(
      2 * mutual / (entropy['true'] + entropy['predicted'])
  )


def random_cells(seed):
  rng = np.random.default_rng(seed)
  return np.uint8(rng.random((30, 40)) < 0.7)


@pytest.mark.parametrize('seed', range(3))
def test_the_truth_itself_has_full_scores(seed):
  label = random_cells(seed)
  result = scores(label, label)
  assert result['V_rand'] == pytest.approx(1)
  assert result['V_info'] == pytest.approx(1)
  assert result['pixel_error'] == 0


@pytest.mark.parametrize('seed', range(3))
def test_scores_equal_those_of_a_loop_over_pairs(seed):
  rng = np.random.default_rng(seed)
  truth, predicted = rng.integers(0, 4, 60), rng.integers(5, 9, 60)
  same = [
      np.array([[a == b for a in ids] for b in ids])
      for ids in (truth, predicted)
  ]
  both = (same[0] & same[1]).sum()
  expected = 2 * both / (same[0].sum() + same[1].sum())
  table = partitions.joint(truth, predicted)
  assert partitions.rand_score(table) == pytest.approx(expected)
  # Neither roles nor numbers of regions matter.
  for a, b in ((predicted, truth), (9 - truth, predicted)):
    other = partitions.joint(a, b)
    assert partitions.rand_score(other) == pytest.approx(expected)
    assert partitions.information_score(other) == pytest.approx(
        partitions.information_score(table)
    )


def test_thickness_of_a_membrane_does_not_matter_to_regions():
  label = cells(5, 6)
  thick = scores(cells(3, 4, 5, 6, 7, 8), label)
  assert thick['V_rand'] == thick['V_info'] == 1
  assert thick['pixel_error'] == pytest.approx(4 / 12)


def test_a_gap_costs_regions_what_it_does_not_cost_pixels():
  label = cells(5, 6)
  gap = label.copy()
  gap[2, 5:7] = CELL
  assert scores(gap, label)['V_rand'] == pytest.approx(2 / 3)
  assert scores(gap, label)['pixel_error'] == pytest.approx(2 / 72)


def test_regions_that_touch_by_a_corner_are_two():
  label = 1 - np.eye(8, dtype=np.uint8)
  assert scores(label, label)['V_rand'] == 1
  assert scores(np.ones_like(label), label)['V_rand'] == pytest.approx(2 / 3)


def test_pixels_on_membranes_of_the_truth_do_not_count_for_regions():
  label = cells(5, 6)
  result = scores(cells(5), label)
  assert result['V_rand'] == result['V_info'] == 1
  assert result['pixel_error'] == pytest.approx(1 / 12)


def test_ignored_pixels_count_for_nothing():
  label, prediction = cells(5, 6), cells(5, 6)
  label[:, 8:] = 255
  prediction[:, 9] = MEMBRANE
  result = scores(prediction, label)
  assert (result['V_rand'], result['pixel_error']) == (1, 0)


def test_a_membrane_all_over_parts_nothing():
  result = scores(np.zeros((6, 12), np.uint8), cells(5, 6))
  assert result['V_rand'] == pytest.approx(2 / 3)


@pytest.mark.parametrize('value', [MEMBRANE, 255])
def test_a_truth_without_a_region_has_no_scores(value):
  label = np.full((6, 12), value, np.uint8)
  assert all(np.isnan(list(scores(cells(), label).values())))
