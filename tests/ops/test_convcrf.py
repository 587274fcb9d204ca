import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import convcrf

RNG = np.random.default_rng(0)


@pytest.mark.parametrize('window', [1, 3, 7])
def test_a_window_sums_over_the_neighbours_in_the_image(window):
  feats = RNG.normal(size=(5, 6, 2)).astype(np.float32)
  x = RNG.random((5, 6, 3), np.float32)
  reach = window // 2
  expected = np.zeros_like(x)
  for i, j in np.ndindex(5, 6):
    for y, z in np.ndindex(5, 6):
      if max(abs(i - y), abs(j - z)) <= reach:
        distance = np.square(feats[i, j] - feats[y, z]).sum()
        expected[i, j] += np.exp(-0.5 * distance) * x[y, z]
  kernel = convcrf.gaussian_kernel(jnp.asarray(feats), window)
  ours = convcrf.filter_locally(kernel, jnp.asarray(x))
  np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize('size', [(8, 12), (9, 11), (3, 2)])
def test_cells_keep_the_size_and_a_constant(size):
  x = np.full((*size, 1), 7.0, np.float32)
  small = convcrf.shrink(x, 4)
  assert small.shape == (-(-size[0] // 4), -(-size[1] // 4), 1)
  np.testing.assert_allclose(small, 7, rtol=1e-6)
  np.testing.assert_allclose(convcrf.enlarge(small, 4, size), x, rtol=1e-6)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((4, 1), 'window=4 must be an odd number'),
        ((3, 0), 'blur=0 must be at least 1'),
        ((3, 1, 'after'), "normalization='after' is not one of"),
    ],
)
def test_wrong_windows_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    convcrf.message([(1.0, jnp.zeros((4, 4, 2)))], *arguments)
