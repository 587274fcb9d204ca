import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import pan


@pytest.mark.parametrize(
    ('size', 'pooled'), [((12, 8), (6, 4)), ((5, 7), (2, 3)), ((1, 3), (1, 1))]
)
def test_poolings_leave_rests_out_but_keep_a_single_pixel(size, pooled):
  x = np.random.default_rng(0).normal(size=(1, *size, 2)).astype(np.float32)
  y = pan.pool(x)
  assert y.shape[1:3] == pooled
  np.testing.assert_array_equal(y[0, 0, 0], x[0, :2, :2].max((0, 1)))


def test_one_map_weights_all_channels():
  model = models.create('pan', 3, backbone='resnet/tiny', features=6)
  image = jax.ShapeDtypeStruct((1, 33, 41, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  kernels = {
      name: layer['conv']['kernel'].shape
      for name, layer in params['pyramid'].items()
  }
  assert kernels == {
      'down1': (7, 7, 128, 1),
      'down2': (5, 5, 1, 1),
      'down3': (3, 3, 1, 1),
      'level1': (7, 7, 1, 1),
      'level2': (5, 5, 1, 1),
      'level3': (3, 3, 1, 1),
      'master': (1, 1, 128, 6),
      'mean': (1, 1, 128, 6),
  }


def test_finer_features_count_as_the_mean_of_the_coarser_ones_says():
  layer = pan.GlobalAttentionUpsample()
  rng = np.random.default_rng(0)
  coarse = rng.normal(size=(1, 2, 3, 4)).astype(np.float32)
  fine = rng.normal(size=(1, 4, 6, 5)).astype(np.float32)
  variables = layer.init(jax.random.key(0), coarse, fine, False)
  gate = variables['params']['gate']['norm']
  # The first two channels of the finer features are shut.
  gate['scale'] = np.zeros(4, np.float32)
  gate['bias'] = np.float32([-100, -100, 0, 0])
  y = layer.apply(variables, coarse, fine, False)
  enlarged = pan.enlarge(coarse, fine)
  np.testing.assert_allclose(y[..., :2], enlarged[..., :2], atol=1e-6)
  assert np.abs(y - enlarged)[..., 2:].max() > 0.1
