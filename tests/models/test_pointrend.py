import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.losses.cross_entropy import cross_entropy
from segjax.models import pointrend
from segjax.ops import points as ops
from segjax.ops.resize import resize

CLASSES = 5
FIELDS = dict(
    backbone='resnet/tiny',
    pyramid_features=16,
    features=32,
    point_features=8,
    train_points=16,
    subdivision_points=20,
)
IMAGE = jax.ShapeDtypeStruct((2, 33, 49, 3), jnp.float32)


@pytest.fixture(scope='module')
def trained():
  """Outputs in training, of random features."""
  coarse = jax.random.normal(jax.random.key(0), (2, 9, 13, CLASSES))
  points = jax.random.uniform(jax.random.key(1), (2, 16, 2))
  return {
      'logits': resize(coarse, (33, 49)),
      'aux': {},
      'points': points,
      'point_logits': jax.random.normal(jax.random.key(2), (2, 16, CLASSES)),
  }


def draw(seed, count, coarse):
  """Points of a training step."""
  model = models.create('pointrend', CLASSES, train_points=count)
  rngs = {'sample': jax.random.key(seed)}
  return np.asarray(model.apply({}, coarse, rngs=rngs, method='draw'))


def test_subdivision_replaces_exactly_the_most_uncertain_pixels():
  coarse = jax.random.normal(jax.random.key(0), (2, 4, 6, CLASSES))
  asked = []

  def score(points):
    asked.append(points)
    return jnp.full((*points.shape[:2], CLASSES), 100.0)

  refined = pointrend.subdivide(coarse, score, 7, rounds=1)
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

  refined = pointrend.subdivide(jnp.zeros((2, 3, 4, CLASSES)), score, 100)
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


def test_training_returns_points_and_coarse_logits():
  model = models.create('pointrend', CLASSES, **FIELDS)

  def train(key):
    variables = model.init(key, jnp.zeros(IMAGE.shape))
    return model.apply(
        variables,
        jnp.zeros(IMAGE.shape),
        train=True,
        rngs={'sample': key},
        mutable=['batch_stats'],
    )

  out, _ = jax.eval_shape(train, jax.random.key(0))
  assert out['points'].shape == (2, 16, 2)
  assert out['point_logits'].shape == (2, 16, CLASSES)
  assert out['logits'].shape == (2, 33, 49, CLASSES)


def test_points_count_as_an_image_of_their_own(trained):
  label = np.random.default_rng(0).integers(0, CLASSES, (2, 33, 49))
  label[:, :15] = 255

  def base(out, batch, rng):
    del rng
    total = cross_entropy(out['logits'], batch['label'])
    return total, {'cross_entropy': total}

  total, parts = pointrend.loss(
      trained, {'label': label}, None, base=base, point_weight=0.5
  )
  losses = []
  for b, p in np.ndindex(2, 16):
    x, y = np.asarray(trained['points'][b, p])
    target = label[b, int(y * 33), int(x * 49)]
    if target != 255:
      logits = trained['point_logits'][b, p]
      losses.append(jax.nn.logsumexp(logits) - logits[target])
  assert 0 < len(losses) < 32
  np.testing.assert_allclose(parts['points'], np.mean(losses), rtol=1e-5)
  np.testing.assert_allclose(
      total, parts['cross_entropy'] + 0.5 * parts['points'], rtol=1e-6
  )


def test_weights_of_pixels_are_those_of_points(trained):
  batch = {
      'label': np.zeros((2, 33, 49), np.uint8),
      'weight': np.arange(2 * 33 * 49, dtype=np.float32).reshape(2, 33, 49),
  }
  given = []

  def base(out, batch, rng):
    del out, rng
    given.append(batch['weight'])
    return jnp.float32(0), {}

  pointrend.loss(trained, batch, None, base=base)
  np.testing.assert_array_equal(
      given[1][:, :, 0], ops.nearest(batch['weight'], trained['points'])
  )


def test_coarse_logits_join_the_first_layer_or_every_layer():
  for every, inputs in ((True, (21, 13, 13)), (False, (21, 8, 8))):
    model = models.create(
        'pointrend', CLASSES, **FIELDS, coarse_every_layer=every
    )
    params = jax.eval_shape(model.init, jax.random.key(0), IMAGE)['params']
    head = params['points']
    widths = tuple(head[f'fc{i}']['kernel'].shape[0] for i in (1, 2, 3))
    assert widths == inputs
