import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models.deeplabv2 import AtrousClassifiers
from segjax.models.deeplabv2 import largest
from segjax.ops.resize import rescale

FIELDS = dict(backbone='resnet/tiny(output_stride=8)', rates=(1, 2))


@pytest.fixture(scope='module')
def image():
  return jax.random.normal(jax.random.key(0), (1, 65, 97, 3))


@pytest.fixture
def variables(random_variables, image):
  return random_variables(models.create('deeplabv2', 5, **FIELDS), image.shape)


def scores(variables, image, scales):
  """What the classifiers return for each scale."""
  model = models.create('deeplabv2', 5, **FIELDS, scales=scales)
  out, collections = jax.jit(
      lambda *inputs: model.apply(
          *inputs, capture_intermediates=True, mutable=['intermediates']
      )
  )(variables, image)
  assert list(out['aux']) == [f'scale{i}' for i in range(1 + len(scales))]
  return collections['intermediates']['aspp']['__call__']


def test_scales_are_smaller_images_for_the_same_weights(variables, image):
  pyramid = scores(variables, image, (0.5,))
  for found, factor in zip(pyramid, (1.0, 0.5), strict=True):
    (alone,) = scores(variables, rescale(image, factor), ())
    np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-4)


def test_a_pixel_takes_the_largest_score_of_any_scale():
  fine = jnp.array([[0.0, 1.0], [2.0, 3.0]]).reshape(1, 2, 2, 1)
  coarse = jnp.full((1, 1, 1, 1), 1.5)
  out = largest([fine, coarse])[0, ..., 0]
  assert out.tolist() == [[1.5, 1.5], [2.0, 3.0]]


def test_classifiers_of_all_rates_are_summed():
  x = jax.random.normal(jax.random.key(0), (1, 9, 13, 4))
  both = AtrousClassifiers(3, (2, 4))
  variables = both.init(jax.random.key(1), x)
  out = both.apply(variables, x)
  for i, rate in enumerate((2, 4)):
    params = {'atrous0': variables['params'][f'atrous{i}']}
    out -= AtrousClassifiers(3, (rate,)).apply({'params': params}, x)
  np.testing.assert_allclose(out, 0.0, atol=1e-6)
