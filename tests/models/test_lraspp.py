import jax
import numpy as np
import pytest

from segjax import models

FIELDS = dict(
    backbone='mobilenet/tiny(output_stride=16)', low='c3', features=16
)


@pytest.fixture(scope='module')
def image():
  return jax.random.normal(jax.random.key(1), (1, 96, 128, 3))


@pytest.fixture
def variables(random_variables, image):
  return random_variables(models.create('lraspp', 5, **FIELDS), image.shape)


def logits(variables, image, **fields):
  model = models.create('lraspp', 5, **FIELDS, **fields)
  return jax.jit(model.apply)(variables, image)['logits']


def test_a_window_of_the_whole_image_is_its_mean(variables, image):
  whole = logits(variables, image)
  for window in ((6, 8), (49, 49)):  # Of features of 6 x 8.
    windows = logits(variables, image, pool_window=window, pool_stride=(16, 20))
    np.testing.assert_allclose(
        windows, whole, rtol=1e-5, atol=1e-6 * np.abs(whole).max()
    )


def test_windows_gate_what_they_see(variables, image):
  whole = logits(variables, image)
  windows = logits(variables, image, pool_window=(3, 4), pool_stride=(3, 4))
  assert windows.shape == whole.shape
  assert np.abs(windows - whole).max() > 1e-3 * np.abs(whole).max()
