import numpy as np
import pytest

from segjax.data import transforms
from segjax.data.transforms.targets import Centers


def example(size=(20, 30)):
  """Object 1 is a box of 4 x 5 pixels, object 3 a single one."""
  instances = np.zeros(size, np.int32)
  instances[2:6, 3:8] = 1
  instances[15, 20] = 3
  label = np.where(instances > 0, 2, 0).astype(np.uint8)
  label[0] = 255
  crowds = np.zeros(3, np.uint8)
  return {'label': label, 'instances': instances, 'instance_crowds': crowds}


def test_offsets_lead_to_the_exact_mean_and_are_zero_elsewhere():
  result = Centers(2.0).map(example())
  ids, offsets = result['instances'], result['offsets']
  at = np.moveaxis(np.indices(ids.shape), 0, -1) + offsets
  np.testing.assert_allclose(at[ids == 1], [[3.5, 5.0]] * 20)
  np.testing.assert_array_equal(offsets[15, 20], 0)
  np.testing.assert_array_equal(offsets[ids == 0], 0)
  assert offsets.dtype == np.float32


def test_the_heat_is_a_gaussian_at_the_whole_part_of_the_mean():
  heat = Centers(2.0).map(example())['centers']
  assert heat[3, 5] == heat[15, 20] == 1
  np.testing.assert_allclose(heat[4, 5], np.exp(-1 / 8), rtol=1e-6)
  np.testing.assert_allclose(heat[5, 6], np.exp(-5 / 8), rtol=1e-6)
  # It ends 7 pixels away, and where two meet the larger holds.
  assert heat[3, 12] > 0
  assert heat[3, 13] == 0
  assert heat[11, 5] == 0


def test_small_objects_weigh_more():
  result = Centers(2.0, small_area=20, small_weight=3.0).map(example())
  weight = result['weight']
  assert weight[15, 20] == 3
  assert (weight[result['instances'] != 3] == 1).all()
  heavy = {**example(), 'weight': np.full((20, 30), 2.0)}
  assert Centers(2.0, small_area=20).map(heavy)['weight'][15, 20] == 6


def test_groups_can_lose_their_label():
  given = {**example(), 'instance_crowds': np.array([1, 0, 0], np.uint8)}
  kept = Centers(2.0).map(given)['label']
  np.testing.assert_array_equal(kept, given['label'])
  ignored = Centers(2.0, ignore_crowds=True).map(given)['label']
  np.testing.assert_array_equal(
      ignored == 255, (given['label'] == 255) | (given['instances'] == 1)
  )
  assert ignored.dtype == np.uint8


def test_an_image_without_objects_has_empty_targets():
  empty = {
      'label': np.zeros((5, 6), np.uint8),
      'instances': np.zeros((5, 6), np.int32),
      'instance_crowds': np.zeros(0, np.uint8),
  }
  result = Centers().map(empty)
  assert not result['centers'].any()
  assert not result['offsets'].any()
  assert (result['weight'] == 1).all()


def test_it_comes_after_what_moves_pixels():
  transforms.parse('random_crop(32)|flip|centers(8)|normalize')
  with pytest.raises(ValueError, match='flip must come before centers'):
    transforms.parse('random_crop(32)|centers(8)|flip|normalize')


def test_a_data_set_without_objects_is_refused():
  with pytest.raises(ValueError, match='needs the field instances'):
    Centers().map({'label': np.zeros((5, 6), np.uint8)})
