import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops.unpool import max_pool
from segjax.ops.unpool import overlapping_positions
from segjax.ops.unpool import unpool
from segjax.ops.unpool import unpool_overlapping

SIZES = [(4, 6), (5, 7), (1, 4), (3, 1), (1, 1)]


def numbers(shape, seed=0):
  """Few different values, so that most windows have a tie."""
  return np.random.default_rng(seed).integers(-1, 2, shape).astype(np.float32)


def naive(x):
  """Window by window: values, and rows and columns that they are from."""
  batch, height, width, channels = x.shape
  shape = (batch, -(-height // 2), -(-width // 2), channels)
  values, origins = np.zeros(shape, np.float32), np.zeros((*shape, 2), int)
  for b, i, j, c in np.ndindex(shape):
    window = x[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
    row, column = np.unravel_index(window.argmax(), window.shape)
    values[b, i, j, c] = window[row, column]
    origins[b, i, j, c] = 2 * i + row, 2 * j + column
  return values, origins


def spread(values, origins, size):
  """Values at their origins, and 0 elsewhere."""
  batch, _, _, channels = values.shape
  x = np.zeros((batch, *size, channels), np.float32)
  for b, i, j, c in np.ndindex(values.shape):
    x[(b, *origins[b, i, j, c], c)] = values[b, i, j, c]
  return x


@pytest.mark.parametrize('size', SIZES)
def test_pooling_takes_the_first_maximum_of_each_window(size):
  x = numbers((2, *size, 3))
  values, place = max_pool(x)
  expected, origins = naive(x)
  np.testing.assert_array_equal(values, expected)
  rows, columns = origins[..., 0] % 2, origins[..., 1] % 2
  np.testing.assert_array_equal(place, 2 * rows + columns)


@pytest.mark.parametrize('size', SIZES)
def test_unpooling_puts_values_where_others_came_from(size):
  x = numbers((2, *size, 3))
  _, place = max_pool(x)
  _, origins = naive(x)
  values = np.random.default_rng(1).normal(size=place.shape)
  values = values.astype(np.float32)
  expected = spread(values, origins, size)
  np.testing.assert_array_equal(unpool(values, place, size), expected)


@pytest.mark.parametrize('size', SIZES)
def test_gradients_go_the_way_of_the_values(size):
  x = numbers((2, *size, 3))
  values, place = max_pool(x)
  _, origins = naive(x)
  weights = np.random.default_rng(2).normal(size=values.shape)
  weights = weights.astype(np.float32)
  of_pool = jax.grad(lambda x: (max_pool(x)[0] * weights).sum())(x)
  np.testing.assert_array_equal(of_pool, spread(weights, origins, size))

  outer = np.random.default_rng(3).normal(size=x.shape).astype(np.float32)
  of_unpool = jax.grad(lambda v: (unpool(v, place, size) * outer).sum())(values)
  for b, i, j, c in np.ndindex(values.shape):
    assert of_unpool[b, i, j, c] == outer[(b, *origins[b, i, j, c], c)]


def test_pooling_again_what_was_unpooled_changes_nothing():
  x = jnp.abs(jax.random.normal(jax.random.key(0), (2, 7, 5, 3)))
  values, place = max_pool(x)
  again, same = max_pool(unpool(values, place, (7, 5)))
  np.testing.assert_array_equal(again, values)
  np.testing.assert_array_equal(same, place)


@pytest.mark.parametrize('at', [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_nan_is_not_lost(at):
  x = jnp.zeros((1, 2, 2, 1)).at[0, *at, 0].set(jnp.nan)
  values, place = max_pool(x)
  assert jnp.isnan(values).all()
  assert place.item() == 2 * at[0] + at[1]


def test_the_type_stays():
  values, place = max_pool(jnp.ones((1, 3, 3, 1), jnp.bfloat16))
  assert values.dtype == unpool(values, place, (3, 3)).dtype == jnp.bfloat16


@pytest.mark.parametrize('platform', ['cpu', 'cuda', 'tpu'])
def test_both_compile_to_no_gather_scatter_or_sort(platform):
  def both(x):
    values, place = max_pool(x)
    return unpool(values, place, x.shape[1:3]).sum()

  x = jax.ShapeDtypeStruct((1, 7, 5, 3), jnp.float32)
  exported = jax.export.export(jax.jit(jax.grad(both)), platforms=[platform])
  text = exported(x).mlir_module()
  for op in ('scatter', 'gather', 'sort'):
    assert f'stablehlo.{op}' not in text


@pytest.mark.parametrize('size', [(4, 7), (6, 9), (8, 6)])
def test_a_size_that_was_not_pooled_is_refused(size):
  values, place = max_pool(jnp.zeros((1, 6, 7, 2)))
  with pytest.raises(ValueError, match='do not come from a pool of'):
    unpool(values, place, size)


@pytest.mark.parametrize('size', SIZES)
def test_of_overlapping_windows_the_last_one_is_written(size):
  x = numbers((2, *size, 3))
  place = overlapping_positions(x)
  values = np.random.default_rng(1).normal(size=place.shape)
  values = values.astype(np.float32)
  padded = np.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)), constant_values=-np.inf)
  expected = np.zeros(x.shape, np.float32)
  for b, i, j, c in np.ndindex(place.shape):
    window = padded[b, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3, c]
    assert place[b, i, j, c] == window.argmax()
    row, column = np.unravel_index(window.argmax(), window.shape)
    row, column = 2 * i + row - 1, 2 * j + column - 1
    expected[b, row, column, c] = values[b, i, j, c]
  assert place.shape == (2, -(-size[0] // 2), -(-size[1] // 2), 3)
  np.testing.assert_array_equal(
      unpool_overlapping(values, place, size), expected
  )
