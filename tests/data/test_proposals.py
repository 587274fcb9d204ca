import numpy as np
import pytest

from segjax.data import proposals
from segjax.data.image import BadExample

SIZE = 4, 6


def write(tmp_path, **arrays):
  path = tmp_path / 'a.npz'
  np.savez(path, **arrays)
  return path


def masks(count):
  return np.random.default_rng(0).integers(0, 2, (*SIZE, count))


def test_the_first_regions_of_a_file_are_read(tmp_path):
  drawn = masks(5)
  found = proposals.read(write(tmp_path, regions=drawn), SIZE, 3)
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, drawn[..., :3])


def test_empty_regions_make_up_the_number(tmp_path):
  drawn = masks(2)
  found = proposals.read(write(tmp_path, regions=drawn), SIZE, 4)
  np.testing.assert_array_equal(found[..., :2], drawn)
  assert not found[..., 2:].any()


def test_boxes_become_filled_rectangles(tmp_path):
  path = write(tmp_path, boxes=[[1, 2, 3, 6], [0.4, -5, 9, 1.6]])
  found = proposals.read(path, SIZE, 2)
  expected = np.zeros((*SIZE, 2))
  expected[1:3, 2:6, 0] = expected[:, :2, 1] = 1
  np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        ({'regions': np.zeros((6, 4, 2))}, r'4x6 are \[4, 6, M\], these \[6'),
        ({'regions': np.full((4, 6, 1), 7)}, 'are 0 or 1'),
        ({'boxes': np.zeros((2, 5))}, r'\[M, 4\], y0 x0 y1 x1, these \[2, 5\]'),
        ({'masks': np.zeros(3)}, "has masks; expected is 'regions' or"),
    ],
)
def test_a_file_of_something_else_is_named(tmp_path, arrays, message):
  with pytest.raises(BadExample, match=f'a.npz.*{message}'):
    proposals.read(write(tmp_path, **arrays), SIZE, 2)


def test_a_damaged_or_missing_file_is_named(tmp_path):
  path = tmp_path / 'b.npz'
  for _ in range(2):
    with pytest.raises(BadExample, match='b.npz: damaged or missing'):
      proposals.read(path, SIZE, 2)
    path.write_bytes(b'PK')


def test_a_region_shows_the_object_that_it_overlaps_most():
  label = np.zeros((4, 10), np.uint8)
  label[:, 1:3] = label[:, 5:7] = 2  # Two objects of a class.
  label[:, 8] = 1
  label[0] = 255
  drawn = np.zeros((4, 10, 4), np.uint8)
  drawn[:, 1:3, 0] = 1  # One of the two, exactly.
  drawn[:, 5:9, 1] = 1  # 6 pixels of an object, 6 of others.
  drawn[:, 9, 2] = 1  # Background; the last is empty.
  categories, overlaps = proposals.assign(drawn, label)
  assert categories.tolist() == [2, 2, 0, 255]
  np.testing.assert_allclose(overlaps, [1, 0.5, 0, 0])
