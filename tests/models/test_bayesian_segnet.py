import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import bayesian_segnet

FIELDS = dict(depths=(1, 1, 1, 1, 1), width=4)
SHAPE = (3, 33, 40, 3)


@pytest.fixture(scope='module')
def model():
  return models.create('bayesian_segnet', 5, **FIELDS, samples=4)


@pytest.fixture(scope='module')
def variables(model, random_variables):
  return random_variables(model, SHAPE)


@pytest.fixture(scope='module')
def images():
  return jax.random.normal(jax.random.key(0), SHAPE)


@pytest.fixture(scope='module')
def forward(model, variables):
  """Logits of one sample."""
  return jax.jit(
      lambda images, key: model.apply(variables, images, rngs={'dropout': key})[
          'logits'
      ]
  )


@pytest.fixture(scope='module')
def predict(model, forward):
  def apply(batch, key):
    return {'logits': forward(batch['image'], key)}

  @jax.jit
  def compiled(images, key):
    out = bayesian_segnet.predict(model, apply, {'image': images}, key)
    return out['logits'], out['variance']

  return lambda images, seed=7: compiled(images, jax.random.key(seed))


def test_without_a_key_it_is_segnet(model, variables, images):
  segnet = models.create('segnet', 5, **FIELDS)
  ours, theirs = (
      jax.jit(m.apply)(variables, images)['logits'] for m in (model, segnet)
  )
  np.testing.assert_array_equal(ours, theirs)


def test_mean_and_variance_are_those_of_the_samples(predict, forward, images):
  mean, variance = predict(images[:1])
  keys = jax.random.split(jax.random.key(7), 4)
  samples = [jax.nn.softmax(forward(images[:1], key)) for key in keys]
  samples = np.asarray(samples, np.float64)
  np.testing.assert_allclose(jax.nn.softmax(mean), samples.mean(0), atol=1e-6)
  np.testing.assert_allclose(variance, samples.var(0), atol=1e-6)
  assert variance.max() > 1e-3


def test_a_prediction_depends_on_the_image_and_the_key_alone(predict, images):
  together = predict(images)
  for i in (0, 2):
    alone = predict(images[i : i + 1])
    for a, b in zip(alone, together, strict=True):
      np.testing.assert_allclose(a[0], b[i], atol=1e-4)
  other, _ = predict(images, seed=8)
  assert np.abs(other - together[0]).max() > 1e-2


def test_a_class_that_no_sample_sees_has_a_finite_logarithm(model, images):
  def sure(batch, key):
    shape = *batch['image'].shape[:3], 2
    return {'logits': jnp.full(shape, 1e4).at[..., 0].set(-1e4)}

  key = jax.random.key(0)
  out = bayesian_segnet.predict(model, sure, {'image': images}, key)
  mean, variance = out['logits'], out['variance']
  assert np.isfinite(mean).all()
  np.testing.assert_allclose(jax.nn.softmax(mean)[..., 1], 1)
  np.testing.assert_array_equal(variance, 0)
