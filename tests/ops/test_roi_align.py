import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import roi_align

RNG = np.random.default_rng(0)


def ramp(size, slope):
  """A map [1, H, W, 1] that grows by `slope` a row and a column."""
  y, x = np.indices(size)
  return (slope[0] * y + slope[1] * x)[None, ..., None].astype(np.float32)


@pytest.mark.parametrize('sampling', [1, 2, 0])
def test_bins_of_a_ramp_have_the_value_at_their_middle(sampling):
  box = np.array([[[2.0, 3.0, 8.0, 11.0]]])
  x = ramp((12, 14), (1.0, 10.0))
  found = roi_align.roi_align(x, box, (3, 2), sampling=sampling)[0, 0, ..., 0]
  middle = np.array([3.0, 5.0, 7.0])[:, None] + 10 * np.array([5.0, 9.0])
  np.testing.assert_allclose(found, middle, rtol=1e-5)
  moved = roi_align.roi_align(
      x, box + 0.5, (3, 2), sampling=sampling, aligned=True
  )
  np.testing.assert_allclose(moved[0, 0, ..., 0], middle, rtol=1e-5)


def test_more_boxes_than_a_chunk_are_read_one_by_one():
  x = RNG.normal(size=(2, 6, 7, 3)).astype(np.float32)
  low = RNG.uniform(0, 4, (2, roi_align.CHUNK + 3, 2))
  boxes = np.concatenate([low, low + RNG.uniform(0.5, 3, low.shape)], -1)
  read = jax.jit(lambda boxes: roi_align.roi_align(x, boxes, (2, 2)))
  together = read(boxes)
  for n in (0, roi_align.CHUNK + 2):
    alone = roi_align.roi_align(x, boxes[:, n : n + 1], (2, 2))
    np.testing.assert_allclose(together[:, n], alone[:, 0], rtol=1e-5)


def test_each_box_is_read_from_its_level():
  maps = [jnp.full((1, n, n, 1), v) for n, v in ((8, 1.0), (4, 2.0))]
  boxes = jnp.array([[[1.0, 1, 3, 3]] * 3])
  found = roi_align.pyramid_roi_align(
      maps, boxes, jnp.array([[1, 0, 1]]), (1, 1), scales=(1.0, 0.5)
  )
  assert found.ravel().tolist() == [2, 1, 2]


def test_levels_double_with_the_sides():
  sides = np.array([20.0, 111.9, 112.0, 224.0, 447.0, 448.0, 5000.0])
  boxes = np.stack([0 * sides, 0 * sides, sides, sides], -1)
  levels = roi_align.level_of(boxes, 2, 5)
  assert levels.tolist() == [2, 2, 3, 4, 4, 5, 5]


def test_targets_are_the_shares_of_bins_that_an_object_fills():
  ids = np.zeros((1, 8, 8), np.int32)
  ids[0, 2:6, 2:5] = 3
  ids[0, 2:6, 5:6] = 4
  boxes = np.array([[[2.0, 2, 6, 6], [2, 2, 6, 6]]])
  found = roi_align.mask_targets(ids, boxes, np.array([[3, 4]]), 4)
  # Bins of one pixel have one sample, between two pixels.
  np.testing.assert_allclose(found[0, 0, :3], [[1, 1, 0.5, 0]] * 3)
  np.testing.assert_allclose(found[0, 1, :3], [[0, 0, 0.5, 0.5]] * 3)
