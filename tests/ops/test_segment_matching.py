import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import segment_matching


def test_the_assignment_costs_least_of_all():
  cost = np.random.default_rng(0).standard_normal((3, 3, 4))
  valid = np.array([[True] * 3, [True, False, True], [False] * 3])
  queries = jax.jit(segment_matching.match)(
      jnp.asarray(cost), jnp.asarray(valid)
  )
  for rows, there, chosen in zip(cost, valid, np.asarray(queries), strict=True):
    assert len(set(chosen)) == 3
    kept = rows[there]
    least = min(
        sum(kept[i, q] for i, q in enumerate(order))
        for order in itertools.permutations(range(4), len(kept))
    )
    assert rows[there, chosen[there]].sum() == pytest.approx(least, abs=1e-5)


def test_more_segments_than_queries_are_refused():
  with pytest.raises(ValueError, match='3 segments cannot each .* 2 queries'):
    segment_matching.match(jnp.zeros((1, 3, 2)), jnp.ones((1, 3), bool))


def test_segments_are_objects_and_classes_of_stuff_but_no_groups():
  label = jnp.array([[[0, 0, 1, 1, 1, 255]]])
  instances = jnp.array([[[0, 0, 1, 3, 2, 0]]])
  segments = segment_matching.panoptic_segments(
      label,
      instances,
      jnp.array([[1, 1, 1, 255]]),
      jnp.array([[0, 1, 0, 0]]),
      num_classes=2,
      most=5,
  )
  assert segments.ids.tolist() == [[0, 2, 4, -1, -1]]
  assert segments.classes[0, :3].tolist() == [1, 1, 0]
  assert segments.numbers.tolist() == [[[4, 4, 0, 2, -1, -1]]]


def test_objects_alone_are_segments_where_stuff_is_not_asked_for():
  segments = segment_matching.object_segments(
      jnp.array([[[0, 0, 1, 3, 2, 0]]]),
      jnp.array([[1, 1, 2, 255]]),
      jnp.array([[1, 0, 1, 0]]),  # The second is a group.
      most=3,
  )
  assert segments.ids.tolist() == [[0, 2, -1]]
  assert segments.classes[0, :2].tolist() == [1, 2]
  assert segments.numbers.tolist() == [[[-1, -1, 0, 2, -1, -1]]]
