import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models.sfnet import FlowAlignment
from segjax.ops.resize import resize

CLASSES = 5


def shapes(size, **fields):
  model = models.create(
      'sfnet', CLASSES, backbone='resnet/tiny', features=8, **fields
  )
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), image)


@pytest.mark.parametrize('size', [(33, 41), (64, 31)])
def test_all_scores_have_the_size_of_the_image(size):
  out, _ = shapes(size)
  assert set(out['aux']) == {'c2', 'c3', 'c4'}
  for logits in (out['logits'], *out['aux'].values()):
    assert logits.shape == (2, *size, CLASSES)


def test_without_auxiliary_heads_the_rest_stays():
  _, variables = shapes((32, 32))
  out, without = shapes((32, 32), aux_heads=False)
  assert out['aux'] == {}
  heads = {'aux_c2', 'aux_c3', 'aux_c4'}
  assert set(variables['params']) - set(without['params']) == heads


def test_the_coarse_level_itself_is_warped():
  fine = jax.random.normal(jax.random.key(0), (2, 9, 7, 4))
  coarse = jax.random.normal(jax.random.key(1), (2, 5, 4, 4))
  layer = FlowAlignment(3)
  variables = layer.init(jax.random.key(2), fine, coarse)
  kernels = variables['params']
  kernels['flow']['kernel'] = jnp.zeros_like(kernels['flow']['kernel'])
  np.testing.assert_allclose(
      layer.apply(variables, fine, coarse),
      resize(coarse, (9, 7), align_corners=True),
      atol=1e-6,
  )


def test_the_flow_learns_from_both_levels():
  fine = jax.random.normal(jax.random.key(0), (1, 9, 7, 4))
  coarse = jax.random.normal(jax.random.key(1), (1, 5, 4, 4))
  layer = FlowAlignment(3)
  variables = layer.init(jax.random.key(2), fine, coarse)
  gradient = jax.jit(
      jax.grad(lambda v: jnp.square(layer.apply(v, fine, coarse)).sum())
  )(variables)['params']
  for name in ('fine', 'coarse', 'flow'):
    assert np.abs(gradient[name]['kernel']).max() > 1e-3


def test_on_cityscapes_the_network_is_the_published_one():
  config = importlib.import_module('configs.sfnet').get_config('cityscapes')
  model = models.create('sfnet', 19, **config.model)
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  sizes = [x.size for x in jax.tree.leaves(params)]
  assert sum(sizes) == 12_869_715  # The authors: 12.87 million.
  deep = importlib.import_module('configs.sfnet').get_config(
      'cityscapes,backbone=resnet/50_sfnet'
  )
  assert deep.model.features == 256
