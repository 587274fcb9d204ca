import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops.roi_pool import roi_max_pool

X = np.random.default_rng(0).normal(size=(11, 14, 3)).astype(np.float32)
BOXES = np.array(
    [
        (0, 0, 10, 13),
        (2, 3, 8, 5),
        (4, 4, 4, 4),
        (9, 2, 16, 6),  # Bins below the map are empty.
        (0, 12, 3, 20),
    ],
    np.float32,
)


def naive(x, box, size):
  """The formula, bin by bin."""
  y0, x0, y1, x1 = box.astype(int)
  pooled = np.zeros((size, size, x.shape[-1]), np.float32)
  h, w = max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1)
  for i in range(size):
    for j in range(size):
      rows = slice(y0 + i * h // size, y0 - (-(i + 1) * h // size))
      columns = slice(x0 + j * w // size, x0 - (-(j + 1) * w // size))
      cells = x[rows, columns]
      if cells.size:
        pooled[i, j] = cells.max((0, 1))
  return pooled


def test_bins_are_maxima_over_whole_cells():
  pooled = roi_max_pool(X, BOXES, 7)
  for box, ours in zip(BOXES, pooled, strict=True):
    np.testing.assert_array_equal(ours, naive(X, box, 7))


def test_a_bin_beyond_the_map_is_zero_and_has_no_gradient():
  beyond = np.array([[20, 20, 26, 26]], np.float32)
  assert not roi_max_pool(X, beyond, 7).any()
  gradient = jax.grad(lambda x: roi_max_pool(x, beyond, 7).sum())(X)
  assert not gradient.any()


def test_the_gradient_goes_to_the_maxima():
  box = np.array([[0, 0, 5, 5]], np.float32)
  gradient = jax.grad(lambda x: roi_max_pool(x, box, 2).sum())(X)
  for i, j in np.ndindex(2, 2):
    window = slice(3 * i, 3 * i + 3), slice(3 * j, 3 * j + 3)
    best = X[window] == X[window].max((0, 1))
    np.testing.assert_array_equal(gradient[window], best)


def test_pooling_keeps_the_type():
  pooled = roi_max_pool(jnp.asarray(X, jnp.bfloat16), BOXES, 3)
  assert pooled.dtype == jnp.bfloat16
