import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops.attention import attention
from segjax.ops.attention import attention_in_cells


def draw(batch=2, queries=13, keys=7, depth=4, values=5):
  rng = np.random.default_rng(0)
  shapes = (queries, depth), (keys, depth), (keys, values)
  return [rng.normal(size=(batch, *s)).astype(np.float32) for s in shapes]


def naive(query, key, value, scale=1.0):
  """The definition, with the whole matrix of scores."""
  scores = scale * jnp.einsum('nqd,nkd->nqk', query, key)
  weights = jnp.exp(scores - scores.max(-1, keepdims=True))
  weights /= weights.sum(-1, keepdims=True)
  return jnp.einsum('nqk,nkv->nqv', weights, value)


def test_it_is_a_mean_of_values_weighted_by_a_softmax_over_keys():
  query, key, value = draw(batch=1, queries=2)
  for i, q in enumerate(query[0]):
    scores = np.exp([0.5 * q @ k for k in key[0]])
    expected = scores / scores.sum() @ value[0]
    y = attention(query, key, value, scale=0.5)[0, i]
    np.testing.assert_allclose(y, expected, rtol=1e-5)


# Scores of all 13 queries, of 7 and 6, of 3 at a time and 1, and of each alone.
@pytest.mark.parametrize('largest', [182, 100, 50, 1])
def test_chunks_and_their_gradients_equal_the_naive_form(largest):
  arrays = draw()
  target = np.random.default_rng(1).normal(size=(2, 13, 5))

  def values(function, **options):
    def loss(arrays):
      return (target * function(*arrays, scale=2.0, **options)).sum()

    return function(*arrays, scale=2.0, **options), jax.grad(loss)(arrays)

  jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5),
      values(attention, largest=largest),
      values(naive),
  )


def test_no_matrix_of_all_scores_is_built():
  shapes = [jax.ShapeDtypeStruct((2, 96, 4), jnp.float32)] * 3

  def step(*arrays):
    y = attention(*arrays, largest=2 * 8 * 96)
    return jnp.square(y).sum()

  program = jax.jit(jax.grad(step, argnums=(0, 1, 2))).lower(*shapes)
  text = program.compile().as_text()
  assert re.search(r'f32\[2,8,96\]', text)
  assert not re.search(r'\[2,96,96\]|\[12,2,8,96\]', text)


def test_scores_are_float32_whatever_the_type():
  query, key, value = (jnp.bfloat16(x) for x in draw())
  y = attention(query, key, value, scale=8.0)
  assert y.dtype == jnp.bfloat16
  expected = naive(*(x.astype(jnp.float32) for x in (query, key, value)), 8.0)
  np.testing.assert_allclose(y.astype(np.float32), expected, atol=2e-2)


def test_large_scores_have_a_finite_gradient():
  query, key, value = draw()
  gradient = jax.grad(lambda q: attention(q, key, value, largest=20).sum())
  assert np.isfinite(gradient(np.float32(1e15) * query)).all()


# Equal cells, a last row and column with more, and fewer rows than cells.
@pytest.mark.parametrize('size', [(6, 9), (7, 11), (2, 7)])
def test_within_cells_it_equals_attention_cell_by_cell(size):
  rng = np.random.default_rng(0)
  maps = [rng.normal(size=(2, *size, c)).astype(np.float32) for c in (4, 4, 5)]
  y = jax.jit(lambda *maps: attention_in_cells(*maps, 3, scale=0.5))(*maps)
  edges = [[*np.arange(3) * (side // 3), side] for side in size]
  for i, j in np.ndindex(3, 3):
    cell = np.s_[
        :, edges[0][i] : edges[0][i + 1], edges[1][j] : edges[1][j + 1]
    ]
    parts = [x[cell].reshape(2, -1, x.shape[-1]) for x in maps]
    if parts[0].size:
      expected = naive(*parts, scale=0.5).reshape(y[cell].shape)
      np.testing.assert_allclose(y[cell], expected, atol=1e-5)
