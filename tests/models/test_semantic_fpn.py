import jax
import jax.numpy as jnp
import pytest

from segjax import models

IMAGE = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)
FIELDS = dict(backbone='resnet/tiny', features=32, pyramid_features=16)


def initialised(**fields):
  model = models.create('semantic_fpn', 5, **FIELDS, **fields)
  return model, jax.eval_shape(model.init, jax.random.key(0), IMAGE)


@pytest.mark.parametrize('group_norm', [False, True])
def test_only_batch_norm_has_statistics(group_norm):
  _, variables = initialised(group_norm=group_norm)
  assert 'norm' in variables['params']['c5_conv3']
  assert ('c5_conv3' in variables['batch_stats']) == (not group_norm)


def test_a_coarse_level_has_a_convolution_for_each_doubling():
  _, variables = initialised()
  convs = sorted(k for k in variables['params'] if '_conv' in k)
  assert convs == ['c2_conv1', 'c3_conv1', 'c4_conv1', 'c4_conv2'] + [
      f'c5_conv{i}' for i in (1, 2, 3)
  ]


def test_a_pyramid_that_is_not_smoothed_has_laterals_alone():
  _, variables = initialised(smooth=False)
  assert set(variables['params']['fpn']) == {
      f'lateral_c{i}' for i in (2, 3, 4, 5)
  }
