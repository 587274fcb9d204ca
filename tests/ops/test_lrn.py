import jax.numpy as jnp
import numpy as np

from segjax.ops.lrn import local_response_norm


def test_each_channel_is_divided_by_its_neighbours():
  x = 20 * np.random.default_rng(0).normal(size=(2, 3, 9)).astype(np.float32)
  expected = np.empty_like(x)
  for c in range(9):
    near = x[..., max(c - 2, 0) : c + 3]
    mean = (near**2).sum(-1) / 5
    expected[..., c] = x[..., c] / (1 + 1e-2 * mean) ** 0.75
  ours = local_response_norm(x, alpha=1e-2)
  np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_normalisation_keeps_the_type():
  x = jnp.ones((1, 2, 2, 8), jnp.bfloat16)
  assert local_response_norm(x).dtype == jnp.bfloat16
