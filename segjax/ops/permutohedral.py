"""Gaussian filtering on the permutohedral lattice, linear in the pixels.

Adams, Baek, Davis, Fast High-Dimensional Filtering Using the Permutohedral
Lattice, 2010. A point of D dimensions gives its value to the D + 1 corners of
the simplex that it lies in, corners exchange values with their neighbours in
D + 1 directions, and the point takes the result from its corners. Corners that
no point touches do not exist: that, and the coarseness of the lattice, make it
an approximation.

In coordinates along D of its directions the lattice is that of all integers,
and the simplices are those of Freudenthal's triangulation: rounding down gives
a corner, and the order of the fractions leads to the others. The last direction
lowers all coordinates at once.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Lattice(NamedTuple):
  """Which corners N points have, and M corners each other."""

  corners: jax.Array  # Indices of corners, [D + 1, N]
  shares: jax.Array  # Of these in a point, sum to 1, [D + 1, N]
  neighbours: jax.Array  # One step on and one back, M for none, [D + 1, 2, M]


class Corners(NamedTuple):
  """What `locate` finds: the corners of all points, without neighbours."""

  corners: jax.Array  # [D + 1, N]
  shares: jax.Array  # [D + 1, N]
  keys: jax.Array  # Ascending, of a corner each; [2, (D + 1) N] of uint32
  steps: jax.Array  # What a step adds to a key, [D + 1, 2]
  count: jax.Array  # Of corners; keys beyond are filled up.


def locate(points):
  """Returns the `Corners` of points [N, D], D > 1; they have no gradient.

  Coordinates are packed into a key of 64 bits, which wraps around: only where
  coordinates have a range of more than 2**32 together can two corners be one.
  """
  n, d = points.shape
  position = jnp.dot(
      jax.lax.stop_gradient(points),
      _basis(d).T.astype(np.float32),
      precision=jax.lax.Precision.HIGHEST,
  )
  low = jnp.floor(position)
  fraction = position - low

  # From corner to corner, coordinates are raised by 1 in order of fractions.
  # (Sorting rows so short is slower than counting what is larger.)
  mine, other = fraction[:, :, None], fraction[:, None, :]
  before = (other > mine) | ((other == mine) & np.tri(d, k=-1, dtype=bool))
  order = before.sum(-1)
  raised = order < jnp.arange(d + 1)[:, None, None]  # [D + 1, N, D]
  falling = jnp.stack([(fraction * (order == i)).sum(-1) for i in range(d)])
  shares = -jnp.diff(falling, axis=0, prepend=1, append=0)
  low = (low - low.min(0)).astype(jnp.uint32) + 1  # Room for a step back.
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


def connect(found, capacity=None):
  """Returns the `Lattice` of `Corners`.

  Args:
    found: from `locate`.
    capacity: number of corners to keep tables for, at least `found.count`;
      None has room for all that there could be.
  """
  keys = found.keys[:, :capacity]
  first, second = keys
  capacity = keys.shape[1]

  def both(step):
    wanted = keys + step[:, None]
    # Keys ascend, so neighbours of keys do nearly, and memory is read in order.
    bits = capacity.bit_length()

    def halve(i, place):
      further = place + (1 << (bits - 1 - i))
      at = jnp.minimum(further - 1, capacity - 1)
      before = (first[at] < wanted[0]) | (
          (first[at] == wanted[0]) & (second[at] < wanted[1])
      )
      return jnp.where(before & (further <= capacity), further, place)

    place = jax.lax.fori_loop(0, bits, halve, jnp.zeros(capacity, jnp.int32))
    at = jnp.minimum(place, capacity - 1)
    hit = (first[at] == wanted[0]) & (second[at] == wanted[1])
    hit &= place < found.count
    on = jnp.where(hit, place, capacity)
    # Who comes from where, the other way round.
    back = (
        jnp.full(capacity, capacity)
        .at[on]
        .set(jnp.arange(capacity), mode='drop')
    )
    return jnp.stack([on, back])

  neighbours = jax.lax.map(both, found.steps)
  return Lattice(found.corners, found.shares, neighbours)


def apply(lattice, x):
  """Filters values x [N, C] of the points: all pairs, weighted by a Gaussian.

  The weight of two points at the distance r is about exp(-r^2 / 2).
  """
  d = len(lattice.corners) - 1
  capacity = lattice.neighbours.shape[-1]
  table = jnp.zeros((capacity, x.shape[1]), x.dtype)

  def splat(table, corner):
    index, share = corner
    return table.at[index].add(share[:, None] * x), None

  def blur(table, pair):
    on, back = (
        table.at[index].get(mode='fill', fill_value=0) for index in pair
    )
    return table / 2 + (on + back) / 4, None

  def slice_(total, corner):
    index, share = corner
    return total + share[:, None] * table[index], None

  corners = lattice.corners, lattice.shares
  table, _ = jax.lax.scan(splat, table, corners)
  table, _ = jax.lax.scan(blur, table, lattice.neighbours)
  total, _ = jax.lax.scan(slice_, jnp.zeros_like(x), corners)
  # The Gaussian's integral, in cells of the lattice.
  integral = (2 * math.pi) ** (d / 2) * np.linalg.det(_basis(d))
  return np.float32(integral) * total


def _basis(d):
  """Returns the matrix from points to coordinates, [D, D].

  It makes the variance of giving, exchanging and taking 1 in all directions:
  1/12 each for the first and last, 1/2 for exchanging by 1/4, 1/2, 1/4, in
  units in which Adams et al. have (D + 1)^2.
  """
  return np.linalg.cholesky((np.eye(d) + 1) * 2 / 3)
