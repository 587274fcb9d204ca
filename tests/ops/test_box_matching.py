import jax
import numpy as np

from segjax.ops import anchors
from segjax.ops import box_matching
from segjax.ops import boxes

RNG = np.random.default_rng(0)


def test_the_best_box_of_an_object_is_an_object_however_little_it_overlaps():
  table = np.array(
      [
          [0.8, 0.0, -1],
          [0.5, 0.1, -1],
          [0.2, 0.1, -1],
          [0.1, 0.0, -1],
      ]
  )
  matched, labels = box_matching.match(table, low=0.3, high=0.7, keep_best=True)
  assert labels.tolist() == [1, 1, 1, 0]  # Two are the best of the second.
  assert matched.tolist() == [0, 0, 0, 0]  # They learn their own best object.
  _, labels = box_matching.match(table, low=0.3, high=0.7, keep_best=False)
  assert labels.tolist() == [1, box_matching.IGNORED, 0, 0]


def test_an_object_that_nothing_overlaps_makes_no_box_an_object():
  table = np.array([[0.0, 0.9], [0.0, 0.2]])
  _, labels = box_matching.match(table, low=0.3, high=0.7, keep_best=True)
  assert labels.tolist() == [1, 0]


def test_without_objects_all_is_background():
  table = np.full((3, 2), -1.0)
  _, labels = box_matching.match(table, low=0.3, high=0.7, keep_best=True)
  assert labels.tolist() == [0, 0, 0]


def test_background_fills_up_what_objects_leave():
  labels = np.array([1, 0, -1, 2, 0, 0, 3, -1])
  draws = np.array([0.9, 0.5, 0.0, 0.2, 0.1, 0.4, 0.3, 0.0])
  chosen = box_matching.sample(draws, labels, 4, 2)
  assert chosen.tolist() == [0, 0, 0, 1, -1, -1, 1, 0]
  few = box_matching.sample(draws, np.minimum(labels, 0), 6, 3)
  assert few.tolist() == [-1, -1, 0, -1, -1, -1, -1, 0]
  index, taken = box_matching.rows(chosen, 6)
  assert sorted(index[:2].tolist()) == [3, 6]  # Objects come first.
  assert sorted(index[2:4].tolist()) == [4, 5]
  assert taken.tolist() == [True] * 4 + [False] * 2


def test_another_draw_chooses_others_and_all_alike():
  labels = np.ones(20)
  keys = jax.random.split(jax.random.key(0), 400)
  draws = jax.vmap(lambda key: jax.random.uniform(key, (20,)))(keys)
  chosen = jax.vmap(lambda x: box_matching.sample(x, labels, 5, 5))(draws)
  assert (chosen.sum(1) == 5).all()
  share = chosen.mean(0)
  assert share.min() > 0.15
  assert share.max() < 0.35


def test_decoding_undoes_encoding():
  low = RNG.uniform(0, 50, (2, 9, 2))
  pairs = np.concatenate([low, low + RNG.uniform(1, 40, low.shape)], -1)
  weights = (10, 10, 5, 5)
  deltas = anchors.encode(pairs[0], pairs[1], weights)
  found = anchors.decode(deltas, pairs[1], weights)
  np.testing.assert_allclose(found, pairs[0], rtol=1e-4, atol=1e-4)


def test_a_delta_moves_the_centre_by_sides_columns_first():
  box = np.array([0.0, 0, 10, 20])
  deltas = np.array([0.5, 1, np.log(2), 0])
  found = anchors.decode(deltas, box)
  np.testing.assert_allclose(found, [10, 0, 20, 40], atol=1e-5)


def test_anchors_are_centred_on_the_corners_of_positions():
  found = anchors.anchors(
      [(2, 2), (1, 1)], [(4, 4), (8, 8)], [(8,), (16,)], [1]
  )
  assert found.tolist() == [
      *([-4, -4, 4, 4], [-4, 0, 4, 8], [0, -4, 8, 4], [0, 0, 8, 8]),
      [-8, -8, 8, 8],
  ]
  tall = anchors.anchors([(1, 1)], [(4, 4)], [(10, 20)], [4], rounded=False)
  np.testing.assert_allclose(tall, [[-10, -2.5, 10, 2.5], [-20, -5, 20, 5]])


def test_overlaps_of_boxes():
  a = np.array([[0.0, 0, 2, 2], [0, 0, 0, 0]])
  b = np.array([[0.0, 1, 2, 3], [5, 5, 6, 6], [0, 0, 0, 0]])
  np.testing.assert_allclose(boxes.overlaps(a, b), [[1 / 3, 0, 0], [0, 0, 0]])
