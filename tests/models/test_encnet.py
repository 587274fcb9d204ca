import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax import parallel
from segjax.models import encnet

CLASSES = 4


def make_batch():
  """Labels without class 3, of which the last image has none."""
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 3, (4, 5, 6)).astype(np.uint8)
  labels[rng.random(labels.shape) < 0.3] = 255
  labels[0][labels[0] == 1] = 255
  labels[1] = 2
  labels[1, 0, 0] = 0  # A single pixel counts like many.
  labels[3] = 255
  scores = 2 * rng.normal(size=(4, CLASSES)).astype(np.float32)
  return scores, labels


def loss(scores, labels, **options):
  return encnet.loss(
      {'presence': scores},
      {'label': labels},
      jax.random.key(0),
      base=lambda *_: (3.0, {'cross_entropy': 3.0}),
      **options,
  )


def test_presence_is_a_mean_over_images_and_classes():
  scores, labels = make_batch()
  expected = []
  for image, label in zip(scores, labels, strict=True):
    for k, score in enumerate(image):
      probability = 1 / (1 + np.exp(-np.float64(score)))
      occurs = any(pixel == k for pixel in label.flat)
      expected.append(-np.log(probability if occurs else 1 - probability))
  total, parts = loss(scores, labels)
  np.testing.assert_allclose(parts['presence'], np.mean(expected), rtol=1e-6)
  assert parts['cross_entropy'] == 3
  np.testing.assert_allclose(total, 3 + 0.2 * parts['presence'], rtol=1e-6)
  total, _ = loss(scores, labels, presence_weight=0.5)
  np.testing.assert_allclose(total, 3 + 0.5 * parts['presence'], rtol=1e-6)


def test_labels_of_no_class_are_not_present():
  scores, labels = make_batch()
  wrong = np.where(labels == 255, CLASSES, labels)
  assert loss(scores, wrong)[0] == loss(scores, labels)[0]


def test_extreme_scores_have_a_finite_gradient():
  scores, labels = make_batch()
  value, gradient = jax.value_and_grad(lambda x: loss(x, labels)[0])(
      np.float32(1e30) * scores
  )
  assert np.isfinite(value)
  assert np.isfinite(gradient).all()


def test_one_channel_tells_whether_class_1_occurs():
  labels = np.zeros((2, 3, 3), np.int32)
  labels[1, 2, 2] = 1
  _, parts = loss(np.float32([[-2.0], [2.0]]), labels)
  np.testing.assert_allclose(parts['presence'], np.log1p(np.exp(-2)), rtol=1e-6)


def test_the_mean_over_devices_is_the_loss_of_the_batch():
  scores, labels = make_batch()
  value = jax.value_and_grad(lambda x, label: loss(x, label)[0])
  expected, gradient = value(scores, labels)
  values, gradients = jax.pmap(value, parallel.AXIS, devices=jax.devices()[:2])(
      scores.reshape(2, 2, -1), labels.reshape(2, 2, *labels.shape[1:])
  )
  np.testing.assert_allclose(values.mean(), expected, rtol=1e-6)
  np.testing.assert_allclose(
      gradients.reshape(gradient.shape) / 2, gradient, atol=1e-7
  )


@pytest.mark.parametrize('lateral', [False, True])
def test_laterals_are_joined_where_they_are_asked_for(lateral):
  model = models.create(
      'encnet', CLASSES, backbone='resnet/tiny', features=8, lateral=lateral
  )
  image = jax.ShapeDtypeStruct((2, 33, 41, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['presence'].shape == (2, CLASSES)
  names = {'lateral_c3', 'lateral_c4', 'fuse'}
  assert (names & set(variables['params'])) == (names if lateral else set())


def test_every_pixel_is_told_of_the_whole_image(random_variables):
  model = models.create('encnet', CLASSES, backbone='resnet/tiny', features=8)
  # Larger than what a single place sees.
  image = jax.random.normal(jax.random.key(0), (1, 33, 801, 3))
  variables = random_variables(model, image.shape)
  # Else the sigmoids of the gate are 0 and 1.
  variables['params']['encoding']['gate']['kernel'] *= 1e-3
  other = image.at[:, :, -64:].add(3.0)
  apply = jax.jit(model.apply)
  first, second = (
      apply(variables, x)['logits'][0, 0, 0] for x in (image, other)
  )
  assert np.abs(first - second).max() > 1e-4 * np.abs(first).max()


def test_the_config_gives_the_loss_its_weight():
  config = importlib.import_module('configs.encnet').get_config()
  scores, labels = make_batch()
  assert (
      loss(scores, labels, **config.system_loss)[0] == loss(scores, labels)[0]
  )
