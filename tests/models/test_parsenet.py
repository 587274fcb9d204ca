import jax
import numpy as np

from segjax import models
from segjax.models.parsenet import L2Norm


def test_features_get_the_length_of_their_scale():
  x = 7 * jax.random.normal(jax.random.key(0), (2, 3, 4, 50))
  y, variables = jax.jit(L2Norm().init_with_output)(jax.random.key(1), x)
  np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 10.0, rtol=1e-5)
  assert variables['params']['scale'].shape == (50,)


def test_features_of_0_stay_0_and_have_a_finite_gradient():
  x = np.zeros((1, 1, 1, 5), np.float32)
  norm = L2Norm()
  variables = norm.init(jax.random.key(0), x)
  assert not norm.apply(variables, x).any()
  gradient = jax.grad(lambda x: norm.apply(variables, x).sum())(x)
  assert np.isfinite(gradient).all()


def test_every_place_is_told_of_the_whole_image(random_variables):
  model = models.create('parsenet', 5, backbone='vgg/tiny', hidden=8)
  # Larger than what a single place sees.
  image = jax.random.normal(jax.random.key(0), (1, 33, 801, 3))
  variables = random_variables(model, image.shape)
  other = image.at[:, :, -64:].add(3.0)
  logits = jax.jit(model.apply)
  first, second = (
      logits(variables, x)['logits'][0, 0, 0] for x in (image, other)
  )
  assert np.abs(first - second).max() > 1e-4 * np.abs(first).max()


def test_without_a_local_norm_the_features_are_joined_as_they_are():
  fields = dict(backbone='vgg/tiny', hidden=8, local_norm=False)
  model = models.create('parsenet', 5, **fields)
  image = jax.ShapeDtypeStruct((1, 33, 33, 3), np.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  assert set(params) == {'backbone', 'global_norm', 'classifier'}
