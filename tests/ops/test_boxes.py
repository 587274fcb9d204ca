import jax
import numpy as np
import pytest

from segjax.ops import boxes
from segjax.ops.resize import resize

RNG = np.random.default_rng(0)


def test_bounding_boxes_are_tight_and_an_empty_region_has_one_pixel():
  regions = np.zeros((2, 9, 7, 3), np.uint8)
  regions[0, 2:5, 3, 0] = regions[0, 4, 1:4, 0] = 1
  regions[1, 8, 6, 1] = 1
  found = boxes.bounding_boxes(regions)
  np.testing.assert_array_equal(
      found[0], [[2, 1, 5, 4], [0, 0, 1, 1]] + [[0, 0, 1, 1]]
  )
  np.testing.assert_array_equal(found[1, 1], [8, 6, 9, 7])


def test_enlarging_moves_each_side_by_the_fraction():
  larger = boxes.expand(np.array([10.0, 20.0, 14.0, 40.0]), 0.25)
  np.testing.assert_allclose(larger, [9, 15, 15, 45])


def test_the_samples_of_the_whole_image_are_a_resized_image():
  image = RNG.normal(size=(8, 13, 3)).astype(np.float32)
  box = np.array([0.0, 0.0, 8.0, 13.0])
  for size in (5, 8, 30):
    np.testing.assert_allclose(
        boxes.sample(image, box, size),
        resize(image[None], (size, size))[0],
        atol=1e-5,
    )


@pytest.mark.parametrize(('outside', 'value'), [('edge', 3.0), ('zero', 0.0)])
def test_samples_beyond_the_image_are_its_edge_or_zero(outside, value):
  image = np.full((6, 12, 1), 3.0, np.float32)
  box = np.array([-6.0, 0.0, 6.0, 12.0])
  samples = boxes.sample(image, box, 12, outside=outside)[..., 0]
  np.testing.assert_allclose(samples[:5], value)
  np.testing.assert_allclose(samples[6:], 3.0)


def test_picks_are_the_pixels_under_the_centres_of_cells():
  image = np.arange(1, 49, dtype=np.uint8).reshape(6, 8)
  inside = boxes.pick(image, np.array([1.0, 2.0, 5.0, 6.0]), 4)
  np.testing.assert_array_equal(inside, image[1:5, 2:6])
  coarse = boxes.pick(image, np.array([0.0, 0.0, 6.0, 6.0]), 2)
  np.testing.assert_array_equal(coarse, image[1:6:3, 1:6:3])
  beyond = boxes.pick(image, np.array([-2.0, 6.0, 2.0, 10.0]), 4)
  assert not beyond[:2].any()
  assert not beyond[:, 2:].any()
  np.testing.assert_array_equal(beyond[2:, :2], image[:2, 6:])


@pytest.mark.parametrize('box', [(1, 2, 5, 10), (-2, 3, 6, 11), (4, 8, 12, 16)])
def test_pasting_puts_back_what_was_picked(box):
  image = RNG.integers(1, 99, (9, 12))
  size = 8  # A multiple of the boxes' sides.
  box = np.array(box, np.float32)
  pasted = boxes.paste(boxes.pick(image, box, size), box, image.shape)
  y, x = np.indices(image.shape)
  inside = (y >= box[0]) & (y < box[2]) & (x >= box[1]) & (x < box[3])
  np.testing.assert_array_equal(pasted[inside], image[inside])
  assert not pasted[~inside].any()


def test_many_grids_are_pasted_as_each_alone():
  grids = RNG.normal(size=(2, 3, 5, 5)).astype(np.float32)
  corners = RNG.uniform(-2, 5, (2, 3, 2))
  places = np.concatenate([corners, corners + RNG.uniform(1, 9, (2, 3, 2))], -1)
  together = boxes.paste(grids, places, (8, 11))
  for i, j in np.ndindex(2, 3):
    alone = boxes.paste(grids[i, j], places[i, j], (8, 11))
    np.testing.assert_array_equal(together[i, j], alone)


def test_sampling_has_a_gradient():
  box = np.array([0.5, 0.5, 3.5, 3.5])
  gradient = jax.grad(lambda image: boxes.sample(image, box, 4).sum())(
      np.ones((5, 5, 2), np.float32)
  )
  np.testing.assert_allclose(gradient.sum(), 4 * 4 * 2, rtol=1e-5)
