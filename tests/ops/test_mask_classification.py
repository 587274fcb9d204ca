import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from segjax.ops import mask_classification as ops
from segjax.ops import points as point_ops

RANDOM = np.random.default_rng(0)
LABEL = np.array([[[0, 0, 2], [255, 2, 2]], [[1, 1, 1], [1, 1, 1]]], np.uint8)
# Object 2 is a group; the third is not there.
INSTANCES = np.array([[[1, 1, 0], [0, 2, 0]], [[0, 0, 0], [0, 0, 0]]])
CLASSES = np.array([[1, 2, 255], [255, 255, 255]], np.uint8)
CROWDS = np.array([[0, 1, 0], [0, 0, 0]], np.uint8)


def draw(*shape):
  return RANDOM.normal(size=shape).astype(np.float32)


def truth(batch=2, height=6, width=7, kinds=4):
  label = RANDOM.integers(0, kinds, (batch, height, width))
  label[:, 0] = 255
  return ops.class_segments(jnp.asarray(label), kinds, 5)


def test_segments_of_classes_are_those_that_an_image_has():
  segments = ops.class_segments(jnp.asarray(LABEL), 3, 4)
  assert segments.ids.tolist() == [[0, 2, -1], [1, -1, -1]]
  assert segments.classes[0, :2].tolist() == [0, 2]
  assert segments.numbers[0].tolist() == [[0, 0, 2], [-1, 2, 2]]
  few = ops.class_segments(jnp.asarray(LABEL), 3, 1)
  assert few.ids.tolist() == [[0], [1]]


def test_segments_of_objects_come_before_stuff_and_without_groups():
  segments = ops.panoptic_segments(
      *map(jnp.asarray, (LABEL, INSTANCES, CLASSES, CROWDS)), 3, 4
  )
  # Numbers of stuff begin behind the three objects.
  assert segments.numbers[0].tolist() == [[0, 0, 5], [-1, -1, 5]]
  assert segments.ids.tolist() == [[0, 5, -1, -1], [4, -1, -1, -1]]
  assert segments.classes[0, :2].tolist() == [1, 2]


def test_masks_at_points_are_those_of_the_truth_interpolated():
  segments = truth()
  masks = segments.numbers[..., None] == segments.ids[:, None, None]
  points = RANDOM.uniform(-0.1, 1.1, (2, 9, 2)).astype(np.float32)
  expected = point_ops.sample(masks.astype(jnp.float32), points)
  found = ops.masks_at(segments.numbers, segments.ids, points)
  valid = segments.valid[:, None]
  np.testing.assert_allclose(found * valid, expected * valid, atol=1e-6)
  own = jnp.broadcast_to(points[:, None], (2, 4, 9, 2))
  each = ops.masks_at(segments.numbers, segments.ids, own)
  np.testing.assert_allclose(each.swapaxes(1, 2), found, atol=1e-6)


@pytest.mark.parametrize('missing', [0, 2])
def test_matching_is_the_assignment_of_least_cost(missing):
  cost = draw(3, 4, 6)
  valid = np.arange(4) < 4 - missing
  found = jax.jit(ops.match)(cost, jnp.broadcast_to(valid, (3, 4)))
  for row, queries in zip(cost, found, strict=True):
    assert len(set(queries.tolist())) == 4
    rows, columns = optimize.linear_sum_assignment(row[valid])
    np.testing.assert_array_equal(queries[rows], columns)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_matching_ends_where_costs_are_not_finite(value):
  cost = np.full((1, 2, 3), value, np.float32)
  cost[0, 0, 0] = 1.0
  queries = jax.jit(ops.match)(cost, np.ones((1, 2), bool))
  assert len(set(queries[0].tolist())) == 2


def test_more_segments_than_queries_are_refused():
  with pytest.raises(ValueError, match='3 segments .* one of 2 queries'):
    ops.match(jnp.zeros((1, 3, 2)), jnp.ones((1, 3), bool))


def test_the_cost_is_the_sum_of_three_terms():
  segments, queries, points = truth(), 3, RANDOM.random((2, 8, 2))
  classes, masks = draw(2, queries, 5), draw(2, 5, 4, queries)
  cost = ops.matching_cost(
      classes,
      masks,
      segments,
      points,
      class_weight=2.0,
      mask_weight=3.0,
      dice_weight=4.0,
  )
  logits = np.asarray(point_ops.sample(jnp.asarray(masks), points))
  target = np.asarray(ops.masks_at(segments.numbers, segments.ids, points))
  kinds = np.asarray(jax.nn.softmax(classes))
  for b, t, q in np.argwhere(np.ones(cost.shape)):
    x, z = logits[b, :, q], target[b, :, t]
    share = 1 / (1 + np.exp(-x))
    entropy = -(z * np.log(share) + (1 - z) * np.log(1 - share)).mean()
    dice = 1 - (2 * (z * share).sum() + 1) / (z.sum() + share.sum() + 1)
    expected = 3 * entropy + 4 * dice - 2 * kinds[b, q, segments.classes[b, t]]
    np.testing.assert_allclose(cost[b, t, q], expected, rtol=1e-4)


def test_perfect_predictions_cost_little_and_void_images_no_mask():
  label = jnp.zeros((2, 8, 8), int).at[:, :, 4:].set(1).at[1].set(255)
  masks = 8.0 * (jnp.arange(4) == label[..., None]) - 4
  target = jnp.stack([jnp.array([0, 1, 3, 3]), jnp.full(4, 3)])
  classes = 30.0 * jax.nn.one_hot(target, 4)
  out = {
      'layer_class_logits': jnp.stack([classes, jnp.zeros_like(classes)]),
      'layer_mask_logits': jnp.stack([masks, masks]),
  }
  compute = jax.jit(
      lambda out: ops.loss(out, {'label': label}, jax.random.key(0), points=32)
  )
  total, parts = compute(out)
  # The second prediction knows masks, but no classes.
  np.testing.assert_allclose(parts['class'], np.log(4) / 2, rtol=1e-3)
  # Most points lie where a mask ends, where a logit of 0 is right.
  assert parts['mask'] < 1.0
  assert parts['dice'] < 0.4
  np.testing.assert_allclose(
      total,
      2 * (2 * parts['class'] + 5 * parts['mask'] + 5 * parts['dice']),
      rtol=1e-5,
  )
  empty = jax.tree.map(lambda x: x[:, 1:], out)
  total, parts = jax.jit(
      lambda out: ops.loss(
          out, {'label': label[1:]}, jax.random.key(0), points=32
      )
  )(empty)
  assert parts['mask'] == parts['dice'] == 0


def test_scores_of_pixels_are_sums_over_queries():
  classes, masks = draw(1, 3, 5), draw(1, 2, 2, 3)
  logits = ops.semantic_logits(classes, masks, (2, 2))
  kinds = np.asarray(jax.nn.softmax(classes))[0, :, :-1]
  shares = 1 / (1 + np.exp(-masks[0]))
  np.testing.assert_allclose(
      np.exp(logits[0]), shares @ kinds, rtol=1e-4, atol=1e-5
  )


def test_queries_are_objects_with_the_bounds_of_their_masks():
  masks = np.full((6, 8, 3), -4.0, np.float32)
  masks[1:3, 2:7, 0] = 4.0
  masks[4:, :2, 1] = 2.0  # The third is empty.
  classes = np.log(
      np.array(
          [[0.1, 0.6, 0.2, 0.1], [0.1, 0.1, 0.7, 0.1], [0.0, 0.9, 0.0, 0.1]]
      )
      + 1e-9
  ).astype(np.float32)
  is_thing = np.array([False, True, True])
  found = ops.detect(classes, jnp.asarray(masks), (6, 8), is_thing, 4)
  found = {name: np.asarray(x) for name, x in found.items()}
  # The empty one is the most probable, and is not there.
  assert found['classes'].tolist() == [1, 2, 1, 2]
  sure = [1 / (1 + np.exp(-x)) for x in (4.0, 2.0)]
  np.testing.assert_allclose(
      found['scores'],
      [0, 0.7 * sure[1], 0.6 * sure[0], 0.2 * sure[0]],
      rtol=1e-5,
  )
  assert found['boxes'].tolist() == [
      [0, 0, 0, 0],
      [4, 0, 6, 2],
      [1, 2, 3, 7],
      [1, 2, 3, 7],
  ]
  assert found['inside'].shape == (6, 8, 1)
  for i, query in enumerate((2, 1, 0, 0)):
    bit = found['inside'][..., 0] >> i & 1
    np.testing.assert_array_equal(bit, masks[..., query] > 0)
