import numpy as np
import pytest

from segjax.data import boxes


def test_boxes_grow_about_their_middle():
  grown = boxes.expand([[10, 20, 30, 60], [0, 0, 5, 10]], 1.2)
  np.testing.assert_array_equal(grown, [[8, 16, 32, 64], [0, -1, 6, 11]])


def test_a_box_keeps_a_pixel_at_least():
  y0, x0, y1, x1 = boxes.expand([3.2, 3.2, 3.3, 3.3], 1.0)
  assert (y1 - y0, x1 - x0) == (1, 1)


@pytest.mark.parametrize(
    ('found', 'expected'),
    [
        ([[0, 0, 5, 7]], 0),
        ([[-3, 2, 5, 7], [0, 0, 2, 9]], 3),
        ([[1, 1, 9, 8]], 4),
    ],
)
def test_excess_is_how_far_boxes_leave_the_image(found, expected):
  assert boxes.excess(np.array(found), (5, 7)) == expected


@pytest.mark.parametrize(
    ('other', 'expected'),
    [
        ([0, 0, 4, 4], 1),
        ([0, 2, 4, 6], 1 / 3),
        ([4, 4, 8, 8], 0),
        ([6, 6, 2, 2], 0),  # Inside out.
    ],
)
def test_overlap_is_intersection_over_union(other, expected):
  assert boxes.overlap(np.array([0, 0, 4, 4]), np.array(other)) == expected
