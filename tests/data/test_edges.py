import cv2
import numpy as np
import pytest

from segjax.data import transforms

RANDOM = np.random.default_rng(0)


def draw(spec, image):
  return transforms.apply(transforms.parse(spec), {'image': image})


def test_canny_finds_the_outline_of_a_square():
  image = np.zeros((20, 24, 3), np.uint8)
  image[5:15, 6:18] = 200
  edges = draw('canny', image)['canny']
  assert edges.dtype == np.float32
  assert set(np.unique(edges)) == {0, 255}
  rows, columns = np.nonzero(edges)
  assert 4 <= rows.min() <= 5 <= 14 <= rows.max() <= 15
  assert 5 <= columns.min() <= 6 <= 17 <= columns.max() <= 18
  assert not edges[8:12, 9:15].any()


def test_values_of_a_normalised_image_are_counted_from_256_down():
  image = RANDOM.integers(0, 256, (16, 18, 3)).astype(np.uint8)
  features = draw('normalize|canny', image)
  wrapped = np.trunc(features['image']) % 256
  expected = cv2.Canny(wrapped.astype(np.uint8), 10, 100)
  np.testing.assert_array_equal(features['canny'], expected)
  assert not np.array_equal(expected, draw('canny', image)['canny'])


def test_nothing_moves_behind_canny():
  with pytest.raises(ValueError, match='flip must come before canny'):
    transforms.parse('canny|flip')


def test_gradients_in_the_wrong_order_are_refused():
  with pytest.raises(ValueError, match='the first not larger'):
    transforms.parse('canny(100.0, 10.0)')
