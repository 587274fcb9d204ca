import numpy as np
import pytest

from segjax.ops.upsample_aligned import upsample_aligned


@pytest.mark.parametrize('size', [(17, 25), (12, 18)])
def test_scores_stay_where_they_are_and_between_them_it_is_linear(size):
  rows, columns = np.mgrid[:3, :4]
  x = (10.0 * rows + columns)[None, ..., None]
  y = upsample_aligned(x.astype(np.float32), 8, size)
  rows, columns = np.mgrid[: size[0], : size[1]] / 8
  np.testing.assert_allclose(y[0, ..., 0], 10 * rows + columns, atol=1e-4)


def test_beyond_the_last_score_it_is_repeated():
  x = np.array([1.0, 3.0], np.float32)[None, :, None, None]
  y = upsample_aligned(x, 2, (6, 1))
  np.testing.assert_allclose(y[0, :, 0, 0], [1, 2, 3, 3, 3, 3])


def test_a_factor_of_1_changes_nothing():
  x = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
  np.testing.assert_array_equal(upsample_aligned(x, 1, (5, 7)), x)
