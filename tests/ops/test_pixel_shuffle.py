import numpy as np

from segjax.ops.pixel_shuffle import pixel_shuffle


def test_a_channel_is_a_class_a_row_and_a_column():
  x = np.arange(2 * 2 * 3 * 12).reshape(2, 2, 3, 12)
  y = np.asarray(pixel_shuffle(x, 2))
  assert y.shape == (2, 4, 6, 3)
  for n, i, j, k, row, column in np.ndindex(2, 2, 3, 3, 2, 2):
    expected = x[n, i, j, 4 * k + 2 * row + column]
    assert y[n, 2 * i + row, 2 * j + column, k] == expected
