import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import backbones
from segjax import models
from segjax.ops.resize import resize

CLASSES = 3


# As its authors count them, in millions and for 19 classes.
@pytest.mark.parametrize(
    ('backbone', 'millions'),
    [('w18_small_v1', 1.5), ('w18_small', 3.9), ('w48', 65.8)],
)
def test_variants_have_as_many_parameters_as_published(backbone, millions):
  model = models.create('hrnet', 19, backbone=f'hrnet/{backbone}')
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  count = sum(x.size for x in jax.tree.leaves(params)) / 1e6
  assert abs(count - millions) < 0.1


@pytest.mark.parametrize('aligned', [False, True])
def test_corners_are_aligned_wherever_maps_are_enlarged(
    random_variables, aligned
):
  image = jax.random.normal(jax.random.key(0), (1, 40, 56, 3))
  model = models.create(
      'hrnet', CLASSES, backbone='hrnet/tiny', align_corners=aligned
  )
  variables = random_variables(model, image.shape)
  out, captured = jax.jit(
      functools.partial(model.apply, capture_intermediates=True)
  )(variables, image)
  captured = captured['intermediates']

  backbone = backbones.build('hrnet/tiny', align_corners=aligned)
  feats = jax.jit(backbone.apply)(
      {name: v['backbone'] for name, v in variables.items()}, image
  )
  joined = np.concatenate(
      [
          resize(feats[level], (10, 14), align_corners=aligned)
          for level in ('c2', 'c3', 'c4', 'c5')
      ],
      -1,
  )
  fuse = variables['params']['fuse']['conv']
  fused = joined @ fuse['kernel'][0, 0] + fuse['bias']
  np.testing.assert_allclose(
      captured['fuse']['conv']['__call__'][0],
      fused,
      rtol=1e-3,
      atol=1e-4 * np.abs(fused).max(),
  )
  (scores,) = captured['classifier']['__call__']
  np.testing.assert_allclose(
      out['logits'],
      resize(scores, (40, 56), align_corners=aligned),
      rtol=1e-4,
      atol=1e-5 * np.abs(scores).max(),
  )


def test_cityscapes_has_the_recipe_of_the_authors():
  get_config = importlib.import_module('configs.hrnet').get_config
  config = get_config('cityscapes')
  # 484 epochs of 2975 images, to a hundredth.
  assert abs(config.total_steps * config.batch_size / 2975 / 484 - 1) < 0.01
  assert len(config.class_weights.split(',')) == 19
  assert not get_config('ade20k').class_weights
