import numpy as np
import pytest

from segjax.ops.pad import pad_to_multiple


@pytest.mark.parametrize(
    ('size', 'expected'), [((8, 16), (8, 16)), ((9, 16), (16, 16))]
)
def test_zeros_are_appended_until_sides_are_multiples(size, expected):
  x = np.ones((2, *size, 3), np.float32)
  y = pad_to_multiple(x, 8)
  assert y.shape == (2, *expected, 3)
  np.testing.assert_array_equal(y[:, : size[0], : size[1]], x)
  assert np.sum(y) == np.sum(x)
