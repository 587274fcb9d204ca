import functools
import itertools

import jax
import jax.numpy as jnp
from jax.test_util import check_grads
import numpy as np
import pytest

from segjax.ops import points as ops
from segjax.ops.resize import resize

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, 5, 7, 3)).astype(np.float32)
# Some of them are up to half a map outside.
POINTS = RANDOM.uniform(-0.5, 1.5, (2, 40, 2)).astype(np.float32)
KINDS = pytest.mark.parametrize(
    ('align_corners', 'padding'),
    list(itertools.product((False, True), ('zeros', 'border'))),
)


def naive(x, points, align_corners, padding):
  """Bilinear interpolation, pixel by pixel."""
  height, width, channels = x.shape
  out = np.zeros((len(points), channels))
  for n, (px, py) in enumerate(points.astype(np.float64)):
    place = []
    for part, side in ((py, height), (px, width)):
      at = part * (side - 1) if align_corners else part * side - 0.5
      place.append(np.clip(at, 0, side - 1) if padding == 'border' else at)
    for row, column in np.ndindex(height, width):
      weight = [
          max(0.0, 1 - abs(at - pixel))
          for at, pixel in zip(place, (row, column), strict=True)
      ]
      out[n] += weight[0] * weight[1] * x[row, column]
  return out


@KINDS
def test_sampling_equals_the_formula(align_corners, padding):
  ours = ops.sample(X, POINTS, align_corners=align_corners, padding=padding)
  for x, points, values in zip(X, POINTS, ours, strict=True):
    expected = naive(x, points, align_corners, padding)
    np.testing.assert_allclose(values, expected, atol=1e-5)


@KINDS
def test_gradients_equal_finite_differences(align_corners, padding):
  sample = functools.partial(
      ops.sample, align_corners=align_corners, padding=padding
  )
  # No point is so near to a pixel's centre that a difference passes it.
  place = np.array(
      [[1.3, 2.6], [-0.4, 0.7], [6.2, 1.5], [3.45, 4.3], [9.5, 2.5]]
  )
  points = np.broadcast_to((place + 0.5) / (7, 5), (2, 5, 2))
  if align_corners:
    points = np.broadcast_to(place / (6, 4), (2, 5, 2))
  arguments = X, points.astype(np.float32)
  check_grads(sample, arguments, order=1, modes=['rev'], eps=1e-2, atol=1e-2)


def test_the_gradient_by_a_loop_equals_that_by_a_scatter():
  index = RANDOM.integers(0, 6, (2, 9, 4))  # Pixels that many points share.
  weight = RANDOM.normal(size=(2, 9, 4)).astype(np.float32)
  dy = RANDOM.normal(size=(2, 9, 3)).astype(np.float32)
  expected = np.zeros((2, 6, 3))
  for b, p, t in np.ndindex(index.shape):
    expected[b, index[b, p, t]] += weight[b, p, t] * dy[b, p]
  for spread in (ops._spread, ops._spread_by_loop):
    ours = spread(*map(jnp.asarray, (index, weight, dy)), rows=6)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_a_grid_of_points_keeps_its_shape_and_the_type():
  x = jnp.asarray(X, jnp.bfloat16)
  grid = ops.sample(x, POINTS.reshape(2, 8, 5, 2))
  assert (grid.shape, grid.dtype) == ((2, 8, 5, 3), jnp.bfloat16)
  np.testing.assert_array_equal(grid.reshape(2, 40, 3), ops.sample(x, POINTS))


def test_a_map_at_the_centres_of_its_pixels_is_itself():
  index = np.broadcast_to(np.arange(35), (2, 35))
  centers = ops.centers(index, (5, 7))
  flat = X.reshape(2, 35, 3)
  np.testing.assert_allclose(ops.sample(X, centers), flat, atol=1e-5)
  labels = np.arange(70, dtype=np.uint8).reshape(2, 5, 7)
  nearest = ops.nearest(labels, centers)
  assert nearest.dtype == np.uint8
  np.testing.assert_array_equal(nearest, labels.reshape(2, 35))


def test_an_unknown_padding_is_refused():
  with pytest.raises(ValueError, match="'reflect'.*'zeros'.*'border'"):
    ops.sample(X, POINTS, padding='reflect')


def test_labels_are_those_of_the_pixel_that_a_point_lies_in():
  labels = np.array([[[0, 1, 2], [3, 4, 255]]])
  points = np.array(
      [[0.1, 0.1], [0.32, 0.4], [0.35, 0.4], [0.99, 0.51], [1.0, 0.0], [2, 2]],
      np.float32,
  )
  assert ops.nearest(labels, points[None]).tolist() == [[0, 0, 1, 255, 2, 255]]


@pytest.mark.parametrize('classes', [1, 2, 5])
def test_uncertainty_is_the_second_best_logit_less_the_best(classes):
  logits = RANDOM.normal(size=(2, 4, 3, classes)).astype(np.float32)
  if classes == 1:
    expected = -np.abs(logits[..., 0])
  else:
    second, best = np.moveaxis(np.sort(logits, -1)[..., -2:], -1, 0)
    expected = second - best
  np.testing.assert_array_equal(ops.uncertainty(logits), expected)


def test_classes_that_are_equally_good_leave_nothing_certain():
  assert ops.uncertainty(jnp.array([1.0, 3.0, 3.0])) == 0


def test_the_most_uncertain_point_lies_between_certain_pixels():
  logits = jnp.array([[[-4.0], [4.0]]])[None]  # One row of two pixels.
  points = jnp.array([[[0.25, 0.5], [0.5, 0.5], [0.7, 0.5]]])
  chosen = ops.most_uncertain(logits, points, 2)
  np.testing.assert_allclose(chosen, [[[0.5, 0.5], [0.7, 0.5]]])


@pytest.mark.parametrize('count', [4, 35, 100])
def test_exactly_the_most_uncertain_pixels_are_found(count):
  index = ops.most_uncertain_pixels(X, count)
  scores = np.asarray(ops.uncertainty(X)).reshape(2, -1)
  for found, score in zip(index, scores, strict=True):
    assert set(found.tolist()) == set(np.argsort(-score)[:count].tolist())


def test_other_pixels_are_left_as_they_are():
  index = np.array([[3, 0], [34, 6]])
  values = RANDOM.normal(size=(2, 2, 3)).astype(np.float32)
  expected = X.reshape(2, 35, 3).copy()
  for b in (0, 1):
    expected[b, index[b]] = values[b]
  ours = ops.replace_pixels(jnp.asarray(X), index, values)
  np.testing.assert_array_equal(ours.reshape(2, 35, 3), expected)


def test_without_a_flow_a_map_is_enlarged_with_its_corners_in_place():
  x = jax.random.normal(jax.random.key(0), (2, 3, 5, 2))
  still = ops.warp(x, np.zeros((2, 7, 9, 2), np.float32))
  expected = resize(x, (7, 9), align_corners=True)
  np.testing.assert_allclose(still, expected, atol=1e-6)


def test_a_flow_of_two_pixels_of_the_result_reads_the_next_one():
  # In as many pixels as the map has, less the one that corners do not count.
  x = jax.random.normal(jax.random.key(0), (1, 4, 6, 1))
  step = np.array([2 * 6 / (6 - 1), 2 * 4 / (4 - 1)], np.float32)
  moved = ops.warp(x, np.broadcast_to(step, (1, 4, 6, 2)))
  np.testing.assert_allclose(moved[:, :-1, :-1], x[:, 1:, 1:], atol=1e-5)
  np.testing.assert_allclose(moved[:, -1], 0, atol=1e-5)
  np.testing.assert_allclose(moved[:, :, -1], 0, atol=1e-5)
