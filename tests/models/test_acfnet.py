import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import acfnet

FEATURES = 8
LAYER = acfnet.ClassFeature(FEATURES, 0.0, raw_scores=False)


@pytest.fixture(scope='module')
def drawn():
  """Features, coarse scores of three classes, and variables of `LAYER`."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 4, 5, 6)).astype(np.float32)
  coarse = rng.normal(size=(2, 4, 5, 3)).astype(np.float32)
  variables = LAYER.init(jax.random.key(0), x, coarse, False)
  return x, coarse, variables


def test_a_center_is_the_mean_weighted_by_probability(drawn):
  feats, coarse, _ = drawn
  probabilities = jax.nn.softmax(coarse)
  centers = acfnet.class_centers(feats, probabilities)
  assert centers.shape == (2, 3, 6)
  for b, k in np.ndindex(2, 3):
    expected = np.average(
        feats[b].reshape(-1, 6),
        axis=0,
        weights=np.asarray(probabilities)[b, ..., k].ravel(),
    )
    np.testing.assert_allclose(centers[b, k], expected, rtol=1e-4, atol=1e-6)


def test_a_class_that_is_nowhere_has_a_center_and_a_finite_gradient(drawn):
  feats, coarse, _ = drawn
  coarse = coarse - [0, 0, 1e4]

  def total(coarse):
    return acfnet.class_centers(feats, jax.nn.softmax(coarse)).sum()

  value, gradient = jax.value_and_grad(total)(coarse)
  assert np.isfinite(value)
  assert np.isfinite(gradient).all()


def test_pixels_of_a_class_have_the_feature_of_its_center(drawn):
  x, _, variables = drawn
  classes = np.arange(20).reshape(4, 5) % 3
  coarse = np.broadcast_to(
      50 * np.eye(3, dtype=np.float32)[classes], (2, 4, 5, 3)
  )
  y = np.asarray(LAYER.apply(variables, x, coarse, False))
  for image in y:
    means = [image[classes == k] for k in range(3)]
    for feature in means:
      np.testing.assert_allclose(
          feature, np.broadcast_to(feature[0], feature.shape), atol=1e-5
      )
    assert np.abs(means[0][0] - means[1][0]).max() > 1e-3
  assert np.abs(y[0] - y[1]).max() > 1e-3  # Centres are those of the image.


def test_a_sigmoid_has_centers_of_both_classes(drawn):
  x, coarse, variables = drawn
  one = coarse[..., :1]
  two = np.concatenate([np.zeros_like(one), one], -1)
  np.testing.assert_allclose(
      LAYER.apply(variables, x, one, False),
      LAYER.apply(variables, x, two, False),
      atol=1e-6,
  )


def test_raw_scores_mix_shares_of_channels(drawn):
  x, coarse, variables = drawn
  layer = acfnet.ClassFeature(FEATURES, 0.0, raw_scores=True)
  own = layer.init(jax.random.key(1), x, coarse, False)
  reduced = acfnet.ConvABN(FEATURES, kernel=1).apply(
      {k: v['reduce'] for k, v in own.items()}, x, False
  )
  y = layer.apply(own, x, coarse, False)
  for b in range(2):
    scores = coarse[b].reshape(-1, 3)
    products = scores.T @ np.asarray(reduced[b]).reshape(-1, FEATURES)
    shares = np.exp(-products)
    shares /= shares.sum(-1, keepdims=True)
    project = own['params']['project']
    expected = scores @ shares @ project['kernel'][0, 0] + project['bias']
    np.testing.assert_allclose(
        y[b].reshape(-1, FEATURES), expected, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize('level', ['', 'c4'])
def test_the_config_weighs_each_auxiliary_head(level):
  config = importlib.import_module('configs.acfnet').get_config()
  model = models.create('acfnet', 4, **{**config.model, 'aux_level': level})
  image = jax.ShapeDtypeStruct((2, 33, 41, 3), jnp.float32)
  out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
  assert set(out['aux']) == {'coarse', level} - {''}
  assert set(out['aux']) <= set(config.aux_weight)
