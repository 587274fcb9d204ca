"""Which true box an anchor or proposal is to become, and which ones are learnt.

Faster R-CNN, https://arxiv.org/abs/1506.01497, section 3.1.2; thresholds and
sampling are those of torchvision. All arrays have fixed sizes: true boxes that
are not there have an overlap of -1.
"""

import jax
import jax.numpy as jnp

IGNORED = -1  # Label of what is neither an object nor background.


def match(
    overlaps: jax.Array,
    *,
    low: float,
    high: float,
    keep_best: bool,
) -> tuple[jax.Array, jax.Array]:
  """Matches boxes with true ones.

  Args:
    overlaps: [A, N], intersections over unions of boxes and true boxes; -1 for
      a true box that is not there.
    low: below it a box is background.
    high: from it on a box is an object. Between the two it is `IGNORED`.
    keep_best: whether a box that overlaps a true box most of all is an object,
      too, however little that is. It is then its own best true box.

  Returns:
    The true box of each box, [A] int32, whatever it is; and the labels [A]
    int32: 1 for an object, 0 for background, or `IGNORED`.
  """
  best = overlaps.max(1)
  labels = jnp.where(best >= high, 1, jnp.where(best < low, 0, IGNORED))
  if keep_best:
    highest = overlaps.max(0)
    is_best = ((overlaps == highest) & (highest > 0)).any(1)
    labels = jnp.where(is_best, 1, labels)
  return overlaps.argmax(1).astype(jnp.int32), labels.astype(jnp.int32)


def sample(
    draws: jax.Array, labels: jax.Array, count: int, max_objects: int
) -> jax.Array:
  """Chooses boxes at random: objects, and background for the rest.

  Args:
    draws: [A], random numbers; those of the smallest ones are chosen.
    labels: [A], above 0 for objects, 0 for background, else neither.
    count: how many are chosen, or fewer where there are not as many.
    max_objects: how many of these are objects at most.

  Returns:
    [A] int32: 1 for chosen objects, -1 for chosen background, else 0.
  """
  objects = _smallest(draws, labels > 0, max_objects, max_objects)
  rest = _smallest(draws, labels == 0, count, count - objects.sum())
  return objects.astype(jnp.int32) - rest.astype(jnp.int32)


def rows(chosen: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
  """Lists what `sample` has chosen: objects, background, then fillers.

  Args:
    chosen: [A], from `sample`.
    count: rows of the list.

  Returns:
    Indices [count], and which of them were chosen.
  """
  rank = jnp.where(chosen == 0, -2, chosen)
  found, index = jax.lax.top_k(rank, min(count, len(rank)))
  missing = 0, count - len(index)
  return jnp.pad(index, missing), jnp.pad(found > -2, missing)


def _smallest(draws, candidates, most, count):
  """Returns which candidates have the `count` smallest draws, [A] booleans.

  Args:
    draws: [A].
    candidates: [A] booleans.
    most: that `count` is at most, a number that is known when compiling.
    count: how many, or fewer where there are not as many.
  """
  most = min(most, len(draws))
  value, index = jax.lax.top_k(jnp.where(candidates, -draws, -jnp.inf), most)
  taken = (value > -jnp.inf) & (jnp.arange(most) < count)
  return jnp.zeros(len(draws), bool).at[index].set(taken)
