import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import dilatednet


def context(kind, classes=3):
  """A context module, and its fresh parameters."""
  module = dilatednet.Context(kind, (1, 1, 2))
  scores = np.ones((1, 4, 4, classes), np.float32)
  params = jax.jit(module.init)(jax.random.key(0), scores)['params']
  return module, params


def without_noise(kernel, classes=3):
  weight = classes / kernel.shape[-1]
  return np.round(kernel / weight) * weight


@pytest.mark.parametrize('kind', ['basic', 'large'])
def test_without_its_noise_a_context_module_begins_as_the_identity(kind):
  module, params = context(kind)
  scores = jax.random.uniform(jax.random.key(1), (2, 9, 13, 3))
  for layer in params.values():
    assert not layer['bias'].any()
    layer['kernel'] = without_noise(layer['kernel'])
  out = jax.jit(module.apply)({'params': params}, scores)
  np.testing.assert_allclose(out, scores, rtol=1e-5)


def test_the_noise_is_as_small_as_channels_are_many():
  _, params = context('large')
  for layer in params.values():
    kernel = layer['kernel']
    noise = kernel - without_noise(kernel)
    factor = max(kernel.shape[2:]) / 3
    np.testing.assert_allclose(noise.std() * factor, 0.01, rtol=0.3)


def test_the_large_module_grows_with_its_rates():
  _, params = context('large')
  widths = {name: layer['bias'].size for name, layer in params.items()}
  assert widths == {
      **{'conv1': 6, 'conv2': 6, 'conv3': 12},
      **{'hidden': 12, 'classifier': 3},
  }


def create(**fields):
  return models.create('dilatednet', 5, backbone='vgg/tiny', **fields)


def test_a_window_with_its_margin_has_the_logits_of_the_whole(random_variables):
  model = create(context='')
  more = 2 * model.halo
  image = jax.random.normal(jax.random.key(1), (1, 11 + more, 18 + more, 3))
  variables = random_variables(model, image.shape)
  whole = jax.jit(model.apply)(variables, image)['logits']
  assert whole.shape == (1, 11, 18, 5)
  window = image[:, 8 : 8 + 3 + more, 16 : 16 + 2 + more]
  logits = jax.jit(model.apply)(variables, window)['logits']
  np.testing.assert_allclose(
      logits, whole[:, 8:, 16:], atol=1e-4 * np.abs(whole).max()
  )


def test_probabilities_are_interpolated_and_not_scores():
  p = np.array([[0.5, 0.5], [0.9, 0.1]], np.float32)
  logits = dilatednet.interpolate(jnp.log(p)[None, :, None], (9, 1))
  between = np.linspace(p[0], p[1], 9)
  np.testing.assert_allclose(np.exp(logits[0, :, 0]), between, rtol=1e-5)


def test_a_probability_of_0_has_a_finite_logit():
  scores = jnp.array([0.0, 1000.0])[None, None, None]
  assert jnp.isfinite(dilatednet.interpolate(scores, (1, 1))).all()


def test_an_image_that_is_all_margin_is_refused():
  with pytest.raises(ValueError, match='is all halo: it takes 403 at least'):
    jax.eval_shape(create().init, jax.random.key(0), np.zeros((1, 402, 500, 3)))


def test_another_context_is_refused():
  with pytest.raises(ValueError, match="context='huge': there are 'basic'"):
    context('huge')
