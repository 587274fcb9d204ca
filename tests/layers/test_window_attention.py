import jax
import numpy as np
import pytest

from segjax.layers.window_attention import WindowAttention
from segjax.ops.window_partition import from_windows
from segjax.ops.window_partition import joined_by_shift
from segjax.ops.window_partition import relative_positions
from segjax.ops.window_partition import to_windows


def test_windows_are_put_together_as_they_were_cut():
  x = np.arange(2 * 6 * 8 * 3).reshape(2, 6, 8, 3)
  windows = to_windows(x, (3, 2))
  assert windows.shape == (2, 8, 6, 3)
  np.testing.assert_array_equal(windows[1, 5].reshape(3, 2, 3), x[1, 3:6, 2:4])
  np.testing.assert_array_equal(from_windows(windows, (3, 2), (6, 8)), x)


@pytest.mark.parametrize('window', [(2, 2), (1, 2), (2, 1)])
def test_equal_offsets_have_one_row_of_the_table(window):
  rows = relative_positions(window, reach=1)
  places = list(np.ndindex(window))
  for i, j in np.ndindex(rows.shape):
    down, right = np.subtract(places[i], places[j])
    assert rows[i, j] == 3 * (down + 1) + right + 1


def expected_attention(x, params, window, shift, heads):
  """Pixel by pixel; which pixels see each other by where they are in `x`."""
  height, width, channels = x.shape
  padded = [-(-side // window) * window for side in (height, width)]
  whole = np.zeros((*padded, channels))
  whole[:height, :width] = x
  qkv = whole @ params['qkv']['kernel'] + params['qkv']['bias']
  qkv = qkv.reshape(*padded, 3, heads, -1)
  table = params['positions'][0].reshape(2 * window - 1, 2 * window - 1, heads)

  def cell(place):
    """The window of a pixel, and the part of the map that it is cut from."""
    return [
        ((p - shift) % side // window, p < shift)
        for p, side in zip(place, padded, strict=True)
    ]

  y = np.zeros_like(whole)
  for place in np.ndindex(*padded):
    others = [p for p in np.ndindex(*padded) if cell(p) == cell(place)]
    result = []
    for head in range(heads):
      query = qkv[place][0, head]
      scores = []
      for other in others:
        down, right = np.subtract(place, other) + window - 1
        score = query @ qkv[other][1, head] / np.sqrt(len(query))
        scores.append(score + table[down, right, head])
      weights = np.exp(scores - np.max(scores))
      weights /= weights.sum()
      result.append(weights @ [qkv[other][2, head] for other in others])
    y[place] = np.concatenate(result)
  y = y @ params['out']['kernel'] + params['out']['bias']
  return y[:height, :width]


@pytest.mark.parametrize('shifted', [False, True])
@pytest.mark.parametrize('size', [(5, 6), (3, 2)])
def test_attention_is_that_of_the_definition(shifted, size):
  layer = WindowAttention(heads=2, window=3, shifted=shifted)
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, *size, 4)).astype(np.float32)

  @jax.jit
  def run(x):
    variables = layer.init(jax.random.key(0), x)
    variables = jax.tree.map(
        lambda v: jax.random.normal(jax.random.key(v.size), v.shape), variables
    )
    return variables['params'], layer.apply(variables, x)

  params, found = run(x)
  params = jax.tree.map(np.float64, params)
  expected = expected_attention(x[0], params, 3, 1 if shifted else 0, 2)
  np.testing.assert_allclose(found[0], expected, atol=2e-5)


def test_pixels_from_both_ends_do_not_see_each_other():
  joined = joined_by_shift((4, 2), (2, 2), (1, 0))
  assert joined[0].all()  # The upper window.
  # Of the lower one, its rows are the last one and the first one of the map.
  np.testing.assert_array_equal(
      joined[1], np.kron(np.eye(2), np.ones((2, 2))) > 0
  )


def test_a_short_axis_is_one_window_without_shift_if_it_shrinks():
  x = np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32)
  plain, shrunk, padded = (
      WindowAttention(2, 3, **options)
      for options in (
          dict(shifted=False, shrink=True),
          dict(shifted=True, shrink=True),
          dict(shifted=True, shrink=False),
      )
  )

  @jax.jit
  def run(x):
    variables = plain.init(jax.random.key(0), x)
    variables = jax.tree.map(lambda v: 10 * v, variables)
    return [layer.apply(variables, x) for layer in (plain, shrunk, padded)]

  first, second, third = run(x)
  np.testing.assert_allclose(first, second, atol=1e-6)
  assert not np.allclose(first, third, atol=1e-3)
