import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import panoptic

THINGS = np.array([False, False, True, True])
THING_AND_STUFF = jnp.array([True, False])


def heat(**peaks):
  """A map of zeros with values at places such as y2x3=0.5."""
  array = np.zeros((8, 12), np.float32)
  for place, value in peaks.items():
    y, x = place[1:].split('x')
    array[int(y), int(x)] = value
  return array


def centers(array, **options):
  options = dict(threshold=0.1, nms=3, top_k=6) | options
  find = jax.jit(lambda x: panoptic.find_centers(x, **options))
  points, count = find(array)
  assert points.shape == (options['top_k'], 2)
  assert points.dtype == jnp.int32
  return points[:count].tolist()


def test_peaks_are_found_row_by_row():
  assert centers(heat(y5x1=0.9, y1x7=0.5, y1x2=0.3)) == [[1, 2], [1, 7], [5, 1]]


def test_a_peak_is_above_the_threshold():
  assert centers(heat(y1x1=0.1, y5x5=0.11)) == [[5, 5]]


@pytest.mark.parametrize(('nms', 'count'), [(3, 2), (5, 1)])
def test_a_peak_is_the_largest_of_its_window(nms, count):
  assert len(centers(heat(y3x3=0.5, y3x5=0.4), nms=nms)) == count


def test_equal_neighbours_are_all_peaks():
  assert centers(heat(y3x3=0.5, y3x4=0.5)) == [[3, 3], [3, 4]]


def test_of_top_k_peaks_or_more_those_above_the_last_are_kept():
  array = heat(y0x0=0.9, y0x4=0.8, y0x8=0.7, y4x0=0.6)
  assert len(centers(array, top_k=5)) == 4
  assert centers(array, top_k=4) == [[0, 0], [0, 4], [0, 8]]
  assert centers(array, top_k=2) == [[0, 0]]


def test_a_map_may_have_fewer_pixels_than_peaks_to_look_at():
  assert centers(heat(y2x2=0.5), top_k=200) == [[2, 2]]


@pytest.mark.parametrize('wrong', [dict(nms=4), dict(threshold=-0.1)])
def test_what_no_peak_can_be_found_with_is_refused(wrong):
  with pytest.raises(ValueError, match='odd window'):
    centers(heat(), **wrong)


def test_pixels_join_the_centre_that_is_nearest_to_where_they_point():
  rng = np.random.default_rng(0)
  offset = rng.normal(0, 4, (8, 12, 2)).astype(np.float32)
  points = np.array([(1, 2), (6, 3), (4, 9), (7, 7)])
  at = np.moveaxis(np.indices((8, 12)), 0, -1) + offset
  distance = np.linalg.norm(at[:, :, None] - points[:3], axis=-1)
  groups = jax.jit(panoptic.group)(offset, points, 3)
  np.testing.assert_array_equal(groups, 1 + distance.argmin(-1))
  assert groups.dtype == jnp.int32


def test_without_a_centre_no_pixel_has_one():
  points, count = panoptic.find_centers(heat(), threshold=0.1, nms=3, top_k=4)
  groups = panoptic.group(jnp.zeros((8, 12, 2)), points, count)
  np.testing.assert_array_equal(groups, 0)


def merged(classes, groups, stuff_area=1):
  segments, table = panoptic.merge(
      jnp.array(classes),
      jnp.array(groups),
      jnp.array(THINGS),
      top_k=3,
      stuff_area=stuff_area,
  )
  return np.asarray(segments).tolist(), np.asarray(table).tolist()


def test_an_object_has_the_class_of_most_of_its_pixels():
  segments, table = merged([[2, 3, 3, 2, 2, 3]], [[1, 1, 1, 2, 2, 2]])
  assert segments == [[1, 1, 1, 2, 2, 2]]
  assert table == [3, 2, 255, *[255] * 4]


def test_of_equally_many_pixels_the_first_class_wins():
  assert merged([[3, 2]], [[1, 1]])[1][0] == 2


def test_stuff_near_a_centre_stays_stuff():
  segments, table = merged([[0, 2, 1]], [[1, 1, 1]])
  assert segments == [[4, 1, 5]]
  assert table == [2, 255, 255, 0, 1, 255, 255]


@pytest.mark.parametrize(('area', 'expected'), [(2, [4, 4, 0]), (3, [0] * 3)])
def test_little_stuff_and_things_without_a_centre_are_void(area, expected):
  segments, _ = merged([[0, 0, 3]], [[0, 0, 0]], stuff_area=area)
  assert segments == [expected]


def test_a_mean_is_over_the_pixels_of_its_segment():
  values = jnp.array([[1.0, 2.0, 6.0, 9.0]])
  means = panoptic.mean_in_segments(values, jnp.array([[1, 1, 3, 0]]), 3)
  np.testing.assert_allclose(means, [1.5, 0.0, 6.0])


def masks_of_queries():
  """Class logits of 5 queries, of 2 classes of stuff and one of things."""
  target = [2, 2, 0, 0, 3]  # The last one is of no segment.
  classes = 8.0 * np.eye(4, dtype=np.float32)[target]
  masks = np.full((4, 6, 5), -5.0, np.float32)
  masks[:2, :3, 0] = 5.0
  masks[:2, 2:, 1] = 6.0  # It wins what both have.
  masks[2:, :3, 2] = 5.0
  masks[2:, 3:, 3] = 5.0
  masks[:, :, 4] = 9.0
  return classes, masks


def test_masks_become_segments_and_stuff_of_a_class_one_segment():
  classes, masks = masks_of_queries()
  is_thing = np.array([False, False, True])
  segments, table, scores = panoptic.merge_masks(
      classes, masks, is_thing, threshold=0.8, overlap=0.6
  )
  expected = np.zeros((4, 6), int)
  expected[:2, :2], expected[:2, 2:], expected[2:] = 1, 2, 3
  np.testing.assert_array_equal(segments, expected)
  assert table.tolist() == [2, 2, 0, 255, 255]
  assert (np.asarray(scores) > 0.8).tolist() == [True] * 3 + [False] * 2


def test_a_mask_of_which_too_little_is_left_is_no_segment():
  classes, masks = masks_of_queries()
  segments, table, _ = panoptic.merge_masks(
      classes, masks, np.array([False, False, True]), threshold=0.8, overlap=0.8
  )
  # Of the first one, two thirds are left.
  assert table.tolist() == [255, 2, 0, 255, 255]
  assert set(np.unique(segments)) == {0, 2, 3}
  assert (np.asarray(segments)[:2, :2] == 0).all()


def logits_of(shares):
  """Mask logits [1, W, Q] of the shares of slots, [W, Q]."""
  return jnp.log(jnp.asarray(shares, jnp.float32))[None]


def classes_of(probabilities):
  """Class logits [Q, 3] of probabilities; the last one is for no segment."""
  return jnp.log(jnp.asarray(probabilities, jnp.float32))


def test_pixelwise_a_pixel_whose_best_slot_does_not_count_is_void():
  classes = classes_of([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
  masks = logits_of([[0.6, 0.3, 0.1], [0.3, 0.5, 0.2], [0.2, 0.2, 0.6]])
  owner, kinds, scores = panoptic.pixelwise_owners(
      classes, masks, threshold=0.7, pixel_threshold=0.4
  )
  assert owner.tolist() == [[1, 0, 3]]
  assert kinds.tolist()[::2] == [0, 1]
  np.testing.assert_allclose(scores, [0.8, 0.1, 0.8], rtol=1e-5)


def test_pixelwise_nothing_counts_where_no_slot_has_a_class():
  classes = classes_of([[0.1, 0.1, 0.8]] * 2)
  owner, *_ = panoptic.pixelwise_owners(
      classes, jnp.zeros((2, 3, 2)), threshold=0.7, pixel_threshold=0.4
  )
  assert not owner.any()


def test_maskwise_the_surest_slot_takes_its_mask_and_later_ones_what_is_free():
  # Both halves of a pixel are above the threshold: three slots share pixels.
  classes = classes_of(
      [[0.75, 0.05, 0.2], [0.9, 0.05, 0.05], [0.05, 0.6, 0.35]]
  )
  masks = logits_of(
      [
          [0.45, 0.54, 0.01],
          [0.01, 0.98, 0.01],
          [0.98, 0.01, 0.01],
          [0.01, 0.01, 0.98],
      ]
  )
  options = dict(thing_threshold=0.7, stuff_threshold=0.5, pixel_threshold=0.4)
  owner, kinds, _ = panoptic.maskwise_owners(
      classes, masks, THING_AND_STUFF, overlap=0.4, **options
  )
  # Slot 1 is surest, then the stuff, whose mask is clear, then slot 0, of
  # whose mask a half is free.
  assert owner.tolist() == [[1, 1, 3, 2]]
  assert kinds.tolist() == [0, 1, 0]
  owner, *_ = panoptic.maskwise_owners(
      classes, masks, THING_AND_STUFF, overlap=0.5, **options
  )
  assert owner.tolist() == [[1, 1, 0, 2]]
  owner, *_ = panoptic.maskwise_owners(
      classes, masks, THING_AND_STUFF, overlap=0.4, mask_power=0.0, **options
  )
  assert owner.tolist() == [[1, 1, 2, 3]]


def test_stuff_of_a_class_is_one_segment_and_small_ones_are_void():
  owner = jnp.array([[1, 2, 3, 3, 4]])
  kinds, scores = jnp.array([1, 0, 1, 0]), jnp.array([0.9, 0.8, 0.7, 0.6])
  segments, table, scores = panoptic.merge_owners(
      owner, kinds, scores, THING_AND_STUFF, thing_area=1, stuff_area=3
  )
  assert segments.tolist() == [[1, 2, 1, 1, 4]]
  assert table.tolist() == [1, 0, panoptic.NO_CLASS, 0]
  np.testing.assert_allclose(scores, [0.9, 0.8, 0, 0.6])
  segments, table, _ = panoptic.merge_owners(
      owner, kinds, scores, THING_AND_STUFF, thing_area=2, stuff_area=4
  )
  assert not segments.any()
  assert table.tolist() == [panoptic.NO_CLASS] * 4
