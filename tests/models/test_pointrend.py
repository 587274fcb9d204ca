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
