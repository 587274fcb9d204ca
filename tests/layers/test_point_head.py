import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.layers import point_head
from segjax.layers.point_head import PointHead
from segjax.losses.cross_entropy import cross_entropy
from segjax.ops import points as ops
from segjax.ops.resize import resize

CLASSES = 5
FEW = 'c2(features=8, train_points=16, subdivision_points=20)'


def draw(seed, count, coarse):
  """Points of a training step."""
  head = PointHead(CLASSES, train_points=count)
  rngs = {'sample': jax.random.key(seed)}
  return np.asarray(head.apply({}, coarse, rngs=rngs, method='draw'))


def test_subdivision_replaces_exactly_the_most_uncertain_pixels():
  coarse = jax.random.normal(jax.random.key(0), (2, 4, 6, CLASSES))
  asked = []

  def score(points):
    asked.append(points)
    return jnp.full((*points.shape[:2], CLASSES), 100.0)

  refined = point_head.subdivide(coarse, score, 7, rounds=1)
  enlarged = resize(coarse, (8, 12))
  replaced = np.asarray((refined == 100).all(-1))
  scores = np.asarray(ops.uncertainty(enlarged))
  for new, score in zip(replaced, scores, strict=True):
    assert new.sum() == 7
    assert score[new].min() > score[~new].max()
  np.testing.assert_array_equal(refined[~replaced], enlarged[~replaced])
  pixels = np.argwhere(replaced[0])
  centers = {((c + 0.5) / 12, (r + 0.5) / 8) for r, c in pixels}
  np.testing.assert_allclose(
      sorted(map(tuple, asked[0][0].tolist())), sorted(centers), rtol=1e-6
  )


def test_every_step_asks_for_points_of_the_finer_grid():
  asked = []

  def score(points):
    asked.append(points.shape)
    return jnp.zeros((*points.shape[:2], CLASSES))

  refined = point_head.subdivide(jnp.zeros((2, 3, 4, CLASSES)), score, 100)
  assert refined.shape == (2, 12, 16, CLASSES)
  assert asked == [(2, 48, 2), (2, 100, 2)]  # All pixels, if there are fewer.


def test_points_are_drawn_anew_for_each_image_and_key():
  coarse = jnp.zeros((2, 9, 13, CLASSES))
  first, again, other = (draw(seed, 16, coarse) for seed in (0, 0, 1))
  assert first.shape == (2, 16, 2)
  np.testing.assert_array_equal(first, again)
  assert not np.isin(first, other).any()
  assert not np.isin(first[0], first[1]).any()
  assert 0 <= first.min() <= first.max() < 1


def test_three_quarters_of_the_points_are_where_logits_are_uncertain():
  # From left to right, the first class is less and less certain.
  lead = jnp.linspace(10, 0, 13)[:, None] * jnp.eye(CLASSES)[0]
  points = draw(0, 400, jnp.broadcast_to(lead, (2, 9, 13, CLASSES)))
  # They are a quarter of three candidates for each point; near the edges, where
  # logits fade, there are some of them too.
  assert (points[:, :300, 0] > 0.65).mean() > 0.8
  assert 0.4 < points[:, 300:, 0].mean() < 0.6


@pytest.fixture(scope='module')
def system():
  """A model with a point head, the same without it, and its variables."""
  fields = dict(backbone='resnet/tiny(output_stride=8)', features=8)
  plain = models.create('deeplabv3', CLASSES, **fields)
  pointed = models.create('deeplabv3', CLASSES, **fields, points=FEW)
  image = jax.random.normal(jax.random.key(0), (2, 33, 49, 3))
  variables = jax.jit(pointed.init)(jax.random.key(1), image)
  return plain, pointed, variables, image


def test_a_point_head_changes_few_pixels_at_prediction(system):
  plain, pointed, variables, image = system
  others = {**variables, 'params': dict(variables['params'])}
  del others['params']['points']
  old = plain.apply(others, image)['logits']
  new = pointed.apply(variables, image)['logits']
  assert old.shape == new.shape == (2, 33, 49, CLASSES)
  # Three steps from stride 8, of 20 pixels each; resizing spreads them.
  changed = np.asarray((jnp.abs(new - old) > 0.01).any(-1))
  assert 20 <= changed[0].sum() < changed[0].size


def test_a_point_head_learns_from_points_and_coarse_logits(system):
  plain, pointed, variables, image = system
  rngs = {'sample': jax.random.key(2), 'dropout': jax.random.key(3)}
  options = dict(train=True, rngs=rngs, mutable=['batch_stats'])
  new, _ = pointed.apply(variables, image, **options)
  others = {**variables, 'params': dict(variables['params'])}
  del others['params']['points']
  old, _ = plain.apply(others, image, **options)
  np.testing.assert_allclose(new['logits'], old['logits'], atol=1e-5)
  assert new['points'].shape == (2, 16, 2)
  assert new['point_logits'].shape == (2, 16, CLASSES)
  assert set(new['aux']) == {'c4'}

  label = np.full((2, 33, 49), 255)
  label[:, :, :24] = 3

  def base(out, batch, rng):
    del rng
    total = cross_entropy(out['logits'], batch['label'])
    return total, {'cross_entropy': total}

  batch = {'label': label}
  hooked = models.module('deeplabv3').loss
  total, parts = hooked(new, batch, None, base=base, point_weight=2.0)
  assert parts['points'] > 0
  np.testing.assert_allclose(
      total, parts['cross_entropy'] + 2 * parts['points'], rtol=1e-6
  )
  assert 'points' not in hooked(old, batch, None, base=base)[1]


def test_labels_of_overlapping_classes_are_read_at_points():
  label = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
  points = jnp.array([[[0.1, 0.9]], [[0.9, 0.1]]])
  np.testing.assert_array_equal(
      ops.nearest(label, points), [[label[0, 2, 0]], [label[1, 0, 3]]]
  )


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(points='c2(feature=8)'), 'no option feature. .*features=256'),
        (dict(points='c9'), 'reads c9 of its backbone'),
        (dict(points='c2', align_corners=True), 'set align_corners=False'),
    ],
)
def test_a_point_head_that_cannot_be_is_refused(fields, message):
  model = models.create('deeplabv3', CLASSES, **fields)
  image = jax.ShapeDtypeStruct((1, 33, 33, 3), jnp.float32)
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(model.init, jax.random.key(0), image)
