import jax
import numpy as np
import pytest

from segjax import parallel
from segjax.ops.boundary import boundary_loss
from segjax.ops.boundary import boundary_target


def target(rows, **options):
  labels = np.array(rows, np.uint8)[None]
  return np.asarray(boundary_target(labels, **options))[0].tolist()


def test_pixels_that_differ_from_neighbours_are_marked():
  assert target([[0, 0, 1]], width=1) == [[0, 1, 0]]
  # Of a change between rows, below it, and above it for two diagonals.
  rows = [[0, 0], [0, 0], [2, 2]]
  assert target(rows, width=1) == [[0, 0], [1, 1], [1, 1]]
  assert target([[3]] * 3, width=1) == [[0], [0], [0]]


def test_the_lower_left_neighbour_counts():
  rows = [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
  assert target(rows, width=1) == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]


def test_nothing_meets_ignored_pixels():
  assert target([[0, 255, 1], [0, 255, 1]], width=1) == [[0] * 3] * 2
  assert target([[0, 7, 1]], width=1, ignore=7) == [[0] * 3]


@pytest.mark.parametrize(
    ('width', 'marked'), [(1, (4, 5)), (2, (4, 6)), (3, (3, 6)), (4, (3, 7))]
)
def test_marks_grow_to_squares_that_an_even_width_lets_lean(width, marked):
  row = [0] * 5 + [1] * 5
  expected = [int(marked[0] <= i < marked[1]) for i in range(10)]
  assert target([row], width=width) == [expected]


def make_batch():
  rng = np.random.default_rng(0)
  logits = 2 * rng.normal(size=(4, 5, 6, 1)).astype(np.float32)
  marks = rng.random((4, 5, 6)) < np.array([0, 0.2, 0.5, 1])[:, None, None]
  return logits, marks.astype(np.int32)


def test_both_kinds_of_pixels_have_the_weight_of_the_other_s_share():
  logits, marks = make_batch()
  share = marks.mean()
  total = 0.0
  for score, mark in zip(logits.flat, marks.flat, strict=True):
    probability = 1 / (1 + np.exp(-np.float64(score)))
    if mark:
      total -= (1 - share) * np.log(probability)
    else:
      total -= share * np.log(1 - probability)
  np.testing.assert_allclose(
      boundary_loss(logits, marks), total / marks.size, rtol=1e-5
  )


def test_the_mean_over_devices_is_the_loss_of_the_batch():
  logits, marks = make_batch()
  value = jax.value_and_grad(boundary_loss)
  expected, gradient = value(logits, marks)
  values, gradients = jax.pmap(value, parallel.AXIS, devices=jax.devices()[:2])(
      logits.reshape(2, 2, 5, 6, 1), marks.reshape(2, 2, 5, 6)
  )
  np.testing.assert_allclose(values.mean(), expected, rtol=1e-6)
  np.testing.assert_allclose(
      gradients.reshape(gradient.shape) / 2, gradient, atol=1e-7
  )
