import numpy as np
import pytest

from segjax.data import coco_masks

RNG = np.random.default_rng(0)


@pytest.mark.parametrize('share', [0.0, 0.02, 0.5, 1.0])
def test_runs_can_be_read_back(share):
  mask = RNG.random((33, 41)) < share
  entry = coco_masks.encode(mask)
  np.testing.assert_array_equal(coco_masks.decode(entry), mask)
  plain = {'size': [33, 41], 'counts': coco_masks.run_lengths(mask)}
  np.testing.assert_array_equal(coco_masks.decode(plain), mask)
  as_bytes = entry | {'counts': entry['counts'].encode()}
  np.testing.assert_array_equal(coco_masks.decode(as_bytes), mask)


def test_runs_that_pycocotools_wrote_are_read():
  # A disk of radius 5 in 12 x 16 pixels, as pycocotools 2.0.11 encodes it.
  y, x = np.mgrid[:12, :16]
  disk = (y - 5) ** 2 + (x - 7) ** 2 <= 25
  entry = {'size': [12, 16], 'counts': 'm0186L2O000O20N10001N4JR1'}
  np.testing.assert_array_equal(coco_masks.decode(entry), disk)
  assert coco_masks.encode(disk) == entry


@pytest.mark.parametrize(
    ('counts', 'words'),
    [
        ([3, 3], 'runs have 6 pixels'),
        ([-1, 7], 'whole numbers'),
        ([0.5, 5.5], 'whole numbers'),
        ('3~', "'~' does not occur"),
        ('d', 'end within a number'),
    ],
)
def test_damaged_runs_are_named(counts, words):
  with pytest.raises(ValueError, match=words):
    coco_masks.decode({'size': [2, 2], 'counts': counts})


def test_a_polygon_of_whole_pixels_is_filled_exactly():
  corners = [(2, 1), (9, 1), (9, 5), (2, 5)]
  filled = coco_masks.fill_polygon(np.array(corners), (8, 12))
  expected = np.zeros((8, 12), bool)
  expected[1:5, 2:9] = True
  np.testing.assert_array_equal(filled, expected)


@pytest.mark.parametrize('seed', range(8))
def test_what_leaves_the_image_is_cut_off(seed):
  """The part inside is that of the polygon in a larger image."""
  rng = np.random.default_rng(seed)
  corners = rng.uniform(-20, 50, (rng.integers(3, 9), 2))
  filled = coco_masks.fill_polygon(corners, (24, 32))
  wide = coco_masks.fill_polygon(corners + 40, (100, 100))
  # Numbers below 0 are rounded towards it: edges may move by a pixel.
  assert (filled != wide[40:64, 40:72]).mean() < 0.03
  inside = corners.clip((1, 1), (31, 23))
  window, part = coco_masks.fill_window(inside, (24, 32))
  moved = coco_masks.fill_polygon(inside + 40, (100, 100))[40:64, 40:72]
  np.testing.assert_array_equal(part, moved[window])
  assert part.sum() == moved.sum()


def test_a_polygon_outside_of_the_image_fills_nothing():
  corners = np.array([(-9, -9), (-2, -9), (-2, 1e300)])
  assert not coco_masks.fill_polygon(corners, (8, 12)).any()
