import numpy as np

from segjax.layers.norm import LocalResponseNorm


def test_channels_are_divided_by_the_strength_of_their_neighbours():
  x = np.random.default_rng(0).normal(0, 100, (2, 3, 4, 7)).astype(np.float32)
  expected = np.empty_like(x)
  for c in range(7):
    near = x[..., max(c - 2, 0) : c + 3]
    strength = (near.astype(np.float64) ** 2).sum(-1)
    expected[..., c] = x[..., c] / (1 + 1e-4 / 5 * strength) ** 0.75
  np.testing.assert_allclose(LocalResponseNorm().apply({}, x), expected, 1e-5)
