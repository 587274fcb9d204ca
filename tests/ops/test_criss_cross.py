import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops.criss_cross import criss_cross_attention


def draw(height, width):
  rng = np.random.default_rng(0)
  return [
      rng.normal(size=(2, height, width, channels)).astype(np.float32)
      for channels in (4, 4, 5)
  ]


@pytest.mark.parametrize('size', [(3, 5), (1, 4), (4, 1)])
def test_it_is_a_softmax_over_row_and_column_with_the_place_counted_once(size):
  query, key, value = draw(*size)
  expected = np.zeros_like(value)
  for n, i, j in np.ndindex(query.shape[:3]):
    cross = {(h, j) for h in range(size[0])} | {(i, w) for w in range(size[1])}
    places = [(n, *place) for place in cross]
    weights = np.exp([query[n, i, j] @ key[place] for place in places])
    weights /= weights.sum()
    expected[n, i, j] = sum(
        weight * value[place]
        for weight, place in zip(weights, places, strict=True)
    )
  y = criss_cross_attention(query, key, value)
  np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_large_scores_have_a_finite_gradient():
  query, key, value = draw(3, 4)
  gradient = jax.grad(lambda q: criss_cross_attention(q, key, value).sum())
  assert np.isfinite(gradient(np.float32(1e15) * query)).all()


def test_scores_are_float32_whatever_the_type():
  query, key, value = (jnp.bfloat16(x) for x in draw(3, 4))
  y = criss_cross_attention(8 * query, key, value)
  assert y.dtype == jnp.bfloat16
  expected = criss_cross_attention(
      *(x.astype(jnp.float32) for x in (8 * query, key, value))
  )
  np.testing.assert_allclose(y.astype(np.float32), expected, atol=2e-2)
