import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import psa_mask

# (H, W), and the (rows, columns) of a mask: odd and even ones, that reach a
# part of the pairs, all, or beyond them.
CASES = [
    ((3, 4), (5, 7)),
    ((3, 4), (3, 1)),
    ((3, 4), (9, 5)),
    ((4, 3), (2, 6)),
    ((1, 3), (5, 3)),
    ((2, 1), (1, 4)),
]


def naive(mask, size):
  """The definition, cell by cell."""
  batch, height, width, _ = mask.shape
  rows, columns = size
  pairs = np.zeros((batch, height, width, height, width), mask.dtype)
  for r, c, i, j in np.ndindex(height, width, rows, columns):
    row, column = r + i - (rows - 1) // 2, c + j - (columns - 1) // 2
    if 0 <= row < height and 0 <= column < width:
      pairs[:, r, c, row, column] = mask[:, r, c, i * columns + j]
  return pairs.reshape(batch, height, width, -1)


def draw(case, batch=2):
  (height, width), (rows, columns) = case
  shape = batch, height, width, rows * columns
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('case', CASES, ids=str)
def test_each_cell_goes_to_its_partner(case):
  mask = draw(case)
  expected = naive(mask, case[1])
  np.testing.assert_array_equal(psa_mask.collect(mask, case[1]), expected)
  matrix = expected.reshape(2, expected.shape[-1], -1)
  np.testing.assert_array_equal(
      psa_mask.distribute(mask, case[1]),
      matrix.transpose(0, 2, 1).reshape(expected.shape),
  )


@pytest.mark.parametrize('function', [psa_mask.collect, psa_mask.distribute])
def test_the_gradient_is_the_transpose(function):
  case = CASES[3]
  mask = draw(case, batch=1)
  y, pull = jax.vjp(lambda x: function(x, case[1]), mask)
  dy = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
  basis = np.eye(mask.size, dtype=np.float32).reshape(-1, *mask.shape[1:])
  expected = np.asarray(function(basis, case[1])).reshape(mask.size, -1)
  np.testing.assert_allclose(
      pull(dy)[0].ravel(), expected @ dy.ravel(), rtol=1e-5
  )


def test_neither_it_nor_its_gradient_gathers_or_scatters():
  mask = jax.ShapeDtypeStruct((1, 3, 4, 35), jnp.bfloat16)
  step = jax.value_and_grad(
      lambda x: jnp.square(psa_mask.distribute(x, (5, 7))).sum()
  )
  text = str(jax.make_jaxpr(step)(mask))
  assert 'gather' not in text
  assert 'scatter' not in text
  assert 'while' not in text


def test_a_mask_of_another_number_of_channels_is_refused():
  with pytest.raises(ValueError, match='3 x 5 cells has 15 .* this one has 35'):
    psa_mask.collect(draw(CASES[0]), (3, 5))
