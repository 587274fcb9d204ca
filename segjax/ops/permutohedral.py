"""Approximate Gaussian filtering in time linear in the number of points.

Adams, Baek, Davis, Fast High-Dimensional Filtering Using the Permutohedral
Lattice, 2010. Filtering has three steps. Splat: a point in D dimensions adds
its value to the D + 1 corners of the simplex that encloses it. Blur: corners
exchange values with their neighbours along D + 1 directions. Slice: the point
interpolates the result from its corners. Corners that enclose no point are not
stored; that and the coarseness of the lattice make the filter approximate.

In coordinates along D of the directions the lattice points are all integer
vectors, and the simplices are Freudenthal's triangulation: rounding down gives
a corner, and raising coordinates by 1 in the order of falling fractions gives
the others. The last direction lowers all coordinates by 1.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Lattice(NamedTuple):
  """Corners of N points, and neighbours of M corners.

  Attributes:
    corners: [D + 1, N], indices of the corners of each point.
    shares: [D + 1, N], barycentric weights of the corners, which sum to 1.
    neighbours: [D + 1, 2, M], indices of the neighbours one step forward and
      one step back along each direction; M stands for no neighbour.
  """

  corners: jax.Array
  shares: jax.Array
  neighbours: jax.Array


class Corners(NamedTuple):
  """Corners of N points, from `locate`, before `connect` finds neighbours.

  Attributes:
    corners: [D + 1, N], indices of the corners of each point.
    shares: [D + 1, N], barycentric weights of the corners, which sum to 1.
    keys: [2, (D + 1) N] uint32, the packed coordinates of each corner, in
      ascending order; entries from `count` on are filled with the largest key.
    steps: [D + 1, 2], what a step along each direction adds to a key.
    count: number of corners.
  """

  corners: jax.Array
  shares: jax.Array
  keys: jax.Array
  steps: jax.Array
  count: jax.Array


def locate(points: jax.Array) -> Corners:
  """Finds the corners of points [N, D], D > 1, without a gradient.

  The coordinates of a corner are packed into two words of 32 bits, half of them
  in each. The words wrap around: two corners can get the same key only if the
  product of the ranges of the coordinates of a word exceeds 2**32.
  """
  n, d = points.shape
  position = jnp.dot(
      jax.lax.stop_gradient(points),
      _basis(d).T.astype(np.float32),
      precision=jax.lax.Precision.HIGHEST,
  )
  low = jnp.floor(position)
  fraction = position - low

  # Coordinates are raised in the order of falling fractions. For rows this
  # short, counting the larger fractions is faster than sorting.
  mine, other = fraction[:, :, None], fraction[:, None, :]
  before = (other > mine) | ((other == mine) & np.tri(d, k=-1, dtype=bool))
  order = before.sum(-1)
  raised = order < jnp.arange(d + 1)[:, None, None]  # [D + 1, N, D]
  falling = jnp.stack([(fraction * (order == i)).sum(-1) for i in range(d)])
  shares = -jnp.diff(falling, axis=0, prepend=1, append=0)
  # The offset of 1 leaves room for a step back.
  low = (low - low.min(0)).astype(jnp.uint32) + 1
  extent = low.max(0) + 3

  half = (d + 1) // 2
  words, steps = [], []
  for part in (slice(0, half), slice(half, d)):
    radix = jnp.cumprod(extent[part].at[1:].set(extent[part][:-1]).at[0].set(1))
    words.append(((low[:, part] + raised[..., part]) * radix).sum(-1).ravel())
    steps.append(jnp.zeros(d, jnp.uint32).at[part].set(radix))
  steps = jnp.stack(steps, -1)
  steps = jnp.concatenate([steps, -steps.sum(0, keepdims=True)])

  place = jnp.arange((d + 1) * n)
  *words, source = jax.lax.sort((*words, place), num_keys=2)
  words = jnp.stack(words)
  new = (words[:, 1:] != words[:, :-1]).any(0)
  index = jnp.cumsum(jnp.concatenate([jnp.zeros(1, bool), new]))
  corners = jnp.zeros_like(index).at[source].set(index, unique_indices=True)
  last = jnp.iinfo(jnp.uint32).max
  keys = jnp.full_like(words, last).at[:, index].set(words)
  return Corners(corners.reshape(d + 1, n), shares, keys, steps, index[-1] + 1)


def connect(corners: Corners, capacity: int | None = None) -> Lattice:
  """Finds the neighbours of corners and returns the lattice.

  Args:
    corners: from `locate`.
    capacity: size M of the tables, at least `corners.count`; None is the
      largest possible number of corners.
  """
  keys = corners.keys[:, :capacity]
  first, second = keys
  capacity = keys.shape[1]

  def find_both(step):
    neighbour_keys = keys + step[:, None]
    # This is a binary search. The keys ascend, and nearly so do the keys of
    # their neighbours, so memory is read almost in order.
    bits = capacity.bit_length()

    def halve(i, place):
      further = place + (1 << (bits - 1 - i))
      at = jnp.minimum(further - 1, capacity - 1)
      before = (first[at] < neighbour_keys[0]) | (
          (first[at] == neighbour_keys[0]) & (second[at] < neighbour_keys[1])
      )
      return jnp.where(before & (further <= capacity), further, place)

    place = jax.lax.fori_loop(0, bits, halve, jnp.zeros(capacity, jnp.int32))
    at = jnp.minimum(place, capacity - 1)
    hit = (first[at] == neighbour_keys[0]) & (second[at] == neighbour_keys[1])
    hit &= place < corners.count
    forward = jnp.where(hit, place, capacity)
    # The neighbours one step back are the inverse of this map.
    back = (
        jnp.full(capacity, capacity)
        .at[forward]
        .set(jnp.arange(capacity), mode='drop')
    )
    return jnp.stack([forward, back])

  neighbours = jax.lax.map(find_both, corners.steps)
  return Lattice(corners.corners, corners.shares, neighbours)


def apply(lattice: Lattice, x: jax.Array) -> jax.Array:
  """Filters values x [N, C] of the points of a lattice.

  The result of a point is a weighted sum over all points; the weight at a
  distance r is about exp(-r^2 / 2).
  """
  d = len(lattice.corners) - 1
  capacity = lattice.neighbours.shape[-1]
  table = jnp.zeros((capacity, x.shape[1]), x.dtype)

  def splat(table, corner):
    index, share = corner
    return table.at[index].add(share[:, None] * x), None

  def blur(table, pair):
    forward, back = (
        table.at[index].get(mode='fill', fill_value=0) for index in pair
    )
    return table / 2 + (forward + back) / 4, None

  def slice_(total, corner):
    index, share = corner
    return total + share[:, None] * table[index], None

  corners = lattice.corners, lattice.shares
  table, _ = jax.lax.scan(splat, table, corners)
  table, _ = jax.lax.scan(blur, table, lattice.neighbours)
  total, _ = jax.lax.scan(slice_, jnp.zeros_like(x), corners)
  # The weights of the three steps sum to 1 over the corners; those of a
  # Gaussian sum to its integral over the volume of a cell.
  integral = (2 * math.pi) ** (d / 2) * np.linalg.det(_basis(d))
  return np.float32(integral) * total


def _basis(d):
  """Returns the matrix [D, D] from points to coordinates of the lattice.

  It scales points so that splat, blur and slice together have variance 1 in
  every direction. Splat and slice contribute 1/12 each, and the blur by (1/4,
  1/2, 1/4) contributes 1/2, in units of the (D + 1)^2 of Adams et al.
  """
  return np.linalg.cholesky((np.eye(d) + 1) * 2 / 3)
