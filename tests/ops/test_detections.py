import jax
import numpy as np
import pytest

from segjax.ops import detections

RNG = np.random.default_rng(0)


def random_regions(count, size=(12, 15)):
  drawn = np.zeros((1, *size, count), np.uint8)
  for n in range(count):
    y, x = RNG.integers(0, 9, 2)
    h, w = RNG.integers(2, 7, 2)
    drawn[0, y : y + h, x : x + w, n] = 1
  return drawn


def iou(a, b):
  return (a & b).sum() / max((a | b).sum(), 1)


def greedy(scores, table, max_overlap):
  kept = []
  for i in np.argsort(-scores, kind='stable'):
    if all(table[i, j] <= max_overlap for j in kept):
      kept.append(i)
  return sorted(kept)


def test_overlaps_are_intersections_over_unions():
  drawn = random_regions(6)
  drawn[..., 5] = 0
  ours = detections.overlaps(drawn)[0]
  for i, j in np.ndindex(6, 6):
    expected = iou(drawn[0, ..., i], drawn[0, ..., j])
    np.testing.assert_allclose(ours[i, j], expected, rtol=1e-6)


@pytest.mark.parametrize('max_overlap', [0.0, 0.3, 1.0])
def test_suppression_keeps_what_a_greedy_loop_keeps(max_overlap):
  for _ in range(5):
    table = np.array(detections.overlaps(random_regions(20))[0])
    scores = RNG.integers(0, 6, 20).astype(np.float32)  # Some are equal.
    kept = jax.jit(detections.suppress)(scores, table, max_overlap)
    assert np.flatnonzero(kept).tolist() == greedy(scores, table, max_overlap)


def test_a_region_may_be_suppressed_in_one_category_and_kept_in_another():
  drawn = np.zeros((1, 4, 4, 3), np.uint8)
  drawn[0, :2, :, 0] = drawn[0, :3, :, 1] = 1  # The third is empty.
  scores = np.array([[[2.0, 0.0], [1.5, 1.0], [9.0, 9.0]]])
  categories, best = detections.detect(scores, drawn, 0.0)
  assert categories[0, :2].tolist() == [1, 2]
  assert best[0].tolist() == [2.0, 1.0, -np.inf]


def test_the_mask_with_the_highest_score_lies_on_top():
  masks = np.zeros((1, 3, 2, 4), bool)
  masks[0, 0, :, :3] = masks[0, 1, :, 1:] = masks[0, 2] = True
  categories = np.array([[1, 2, 3]])
  scores = np.array([[0.5, 0.9, 0.1]])
  logits = detections.lay_over(masks, categories, scores, 0.2, num_classes=4)
  np.testing.assert_array_equal(logits.argmax(-1), [[[1, 2, 2, 2]] * 2])


def test_without_a_mask_a_pixel_is_background():
  masks = np.zeros((1, 2, 3, 3), bool)
  masks[0, 1] = True
  scores = np.array([[1.0, -np.inf]])
  categories = np.array([[1, 2]])
  logits = detections.lay_over(masks, categories, scores, 0.0, num_classes=3)
  assert not logits.argmax(-1).any()


def test_proposals_are_suppressed_within_their_level_alone():
  anchors = np.array(
      [[0, 0, 8, 8], [0, 1, 8, 9], [20, 20, 28, 28], [0, 0, 8, 8.0]]
  )
  logits = np.array([1.0, 3.0, 2.0, 0.5])
  found, scores = detections.propose(
      logits,
      np.zeros((4, 4)),
      anchors,
      (3, 1),
      (24, 40),
      before=10,
      count=5,
  )
  assert scores.tolist() == [3, 2, 0.5, -np.inf, -np.inf]
  # The second one is cut at the border of the image.
  assert found[:3].tolist() == [[0, 1, 8, 9], [20, 20, 24, 28], [0, 0, 8, 8]]


def test_only_the_best_of_each_level_are_looked_at():
  anchors = np.array([[i, 0, i + 1, 1] for i in range(6)], np.float32)
  _, scores = detections.propose(
      np.arange(6.0),
      np.zeros((6, 4)),
      anchors,
      (4, 2),
      (9, 9),
      before=2,
      count=6,
  )
  assert scores[:4].tolist() == [5, 4, 3, 2]
  assert (scores[4:] == -np.inf).all()


def test_detections_of_other_classes_do_not_suppress():
  boxes = np.tile(np.array([0.0, 0, 8, 8]), (3, 2, 1))
  boxes[2, :, 1:4:2] += 20
  scores = np.array([[0.9, 0.6], [0.8, 0.04], [0.0, 0.7]])
  found, classes, score, row = detections.select(scores, boxes, count=4)
  assert classes[:3].tolist() == [0, 1, 1]
  np.testing.assert_allclose(score, [0.9, 0.7, 0.6, -np.inf])
  assert row[:3].tolist() == [0, 2, 0]
  assert found[1].tolist() == [0, 20, 8, 28]
