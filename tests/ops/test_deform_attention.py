from jax.test_util import check_grads
import numpy as np
import pytest

from segjax.ops.deform_attention import deform_attention

SIZES = ((2, 3), (4, 5))
HEADS, POINTS, QUERIES, CHANNELS = 2, 2, 3, 4


def inputs():
  random = np.random.default_rng(0)
  value = random.normal(size=(2, 26, HEADS, CHANNELS))
  shape = 2, QUERIES, HEADS, len(SIZES), POINTS
  points = random.uniform(-0.2, 1.2, (*shape, 2))
  weight = random.random(shape)
  return tuple(x.astype(np.float32) for x in (value, points, weight))


def naive(value, points, weight):
  """The sum over points, pixel by pixel."""
  out = np.zeros((2, QUERIES, HEADS, CHANNELS))
  for b, q, h, level, p in np.ndindex(weight.shape):
    height, width = SIZES[level]
    start = 6 * level
    x, y = points[b, q, h, level, p] * (width, height) - 0.5
    for row, column in np.ndindex(height, width):
      share = max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row))
      pixel = value[b, start + row * width + column, h]
      out[b, q, h] += weight[b, q, h, level, p] * share * pixel
  return out


def test_it_equals_a_sum_over_points():
  value, points, weight = inputs()
  y = deform_attention(value, SIZES, points, weight)
  np.testing.assert_allclose(y, naive(value, points, weight), atol=1e-5)


def test_gradients_equal_finite_differences():
  value, points, weight = inputs()
  # No point is so near to a pixel's centre that a difference passes it.
  sides = np.array([[3, 2], [5, 4]])[:, None]
  points = (np.floor(points * sides) + 0.8) / sides
  check_grads(
      lambda value, points, weight: deform_attention(
          value, SIZES, points, weight
      ),
      (value, points.astype(np.float32), weight),
      order=1,
      modes=['rev'],
      eps=1e-2,
      atol=2e-2,
      rtol=2e-2,
  )


def test_maps_that_the_values_do_not_fit_are_refused():
  value, points, weight = inputs()
  with pytest.raises(ValueError, match='26 values .* expected 21 values'):
    deform_attention(value, ((2, 3), (3, 5)), points, weight)
