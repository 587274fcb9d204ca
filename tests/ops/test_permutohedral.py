import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import gaussian
from segjax.ops import permutohedral

RNG = np.random.default_rng(0)


def filtered(points, x):
  lattice = permutohedral.connect(permutohedral.locate(points))
  return permutohedral.apply(lattice, x)


@pytest.mark.parametrize('d', [2, 3, 5])
def test_corners_of_a_point_are_one_step_apart_and_share_it(d):
  points = RNG.normal(size=(50, d)).astype(np.float32) * 3
  found = permutohedral.locate(points)
  assert (found.shares > -1e-6).all()
  np.testing.assert_allclose(found.shares.sum(0), 1, atol=1e-6)
  lattice = permutohedral.connect(found)
  around = np.asarray(lattice.neighbours)[:, 0]  # [D + 1, M]
  corners = np.asarray(found.corners)
  for corner, following in zip(corners, np.roll(corners, -1, 0), strict=True):
    assert (around[:, corner] == following).any(0).all()


@pytest.mark.parametrize(('d', 'error'), [(2, 0.02), (3, 0.03)])
def test_dense_points_are_filtered_as_by_all_pairs(d, error):
  points = RNG.uniform(0, 4, size=(3000, d)).astype(np.float32)
  x = RNG.random((3000, 2), np.float32)
  exact = gaussian.all_pairs(points[:, None])(x[:, None])[:, 0]
  ours = jax.jit(filtered)(points, x)
  difference = np.abs(ours - exact).mean() / exact.mean()
  assert difference < error


def test_equal_points_share_corners_and_far_ones_nothing():
  points = np.float32([[0, 0, 0], [0, 0, 0], [50, 0, 0], [50, 50, -50]])
  found = permutohedral.locate(points)
  np.testing.assert_array_equal(found.corners[:, 0], found.corners[:, 1])
  assert found.count == 12
  y = filtered(points, np.float32([[1], [2], [0], [0]]))[:, 0]
  np.testing.assert_allclose(y[0], y[1])
  assert y[0] > 0
  np.testing.assert_array_equal(y[2:], 0)


def test_neighbours_are_each_others():
  points = RNG.normal(size=(200, 5)).astype(np.float32) * 2
  found = permutohedral.locate(points)
  count = int(found.count)
  lattice = permutohedral.connect(found, count)
  for on, back in np.asarray(lattice.neighbours):
    assert (on < count).any()
    there = np.flatnonzero(on < count)
    np.testing.assert_array_equal(back[on[there]], there)
    assert (on < count).sum() == (back < count).sum()


def test_the_capacity_changes_nothing():
  points = RNG.normal(size=(100, 5)).astype(np.float32)
  x = RNG.random((100, 3), np.float32)
  found = permutohedral.locate(points)
  few = permutohedral.connect(found, int(found.count))
  np.testing.assert_allclose(
      permutohedral.apply(few, x), filtered(points, x), rtol=1e-6
  )


def test_the_gradient_is_the_transpose_and_points_have_none():
  points = RNG.normal(size=(40, 3)).astype(np.float32)
  x, y = RNG.random((2, 40, 2), np.float32)
  inner, (to_points, to_x) = jax.value_and_grad(
      lambda points, x: jnp.vdot(y, filtered(points, x)), (0, 1)
  )(points, x)
  np.testing.assert_allclose(jnp.vdot(to_x, x), inner, rtol=1e-5)
  assert not to_points.any()
