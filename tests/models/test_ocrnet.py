import importlib

import jax
import jax.numpy as jnp
import pytest

from segjax import models

CLASSES = 3
IMAGE = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)
get_config = importlib.import_module('configs.ocrnet').get_config


def shapes(**fields):
  model = models.create('ocrnet', CLASSES, features=8, key_features=4, **fields)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), IMAGE)


@pytest.mark.parametrize(
    ('backbone', 'kernel', 'coarse', 'pixels'),
    [
        # All branches joined, 4 + 8 + 16 + 32 channels, for both.
        ('hrnet/tiny', 1, (60, 60), 60),
        ('hrnet/w18_small', 1, (270, 270), 270),
        # The last two levels, of whatever stride.
        ('resnet/18(output_stride=8)', 3, (256, 64), 512),
        ('resnet/18', 3, (256, 64), 512),
    ],
)
def test_heads_begin_where_the_backbone_has_them(
    backbone, kernel, coarse, pixels
):
  out, variables = shapes(backbone=backbone)
  assert out['logits'].shape == (2, 65, 97, CLASSES)
  assert out['aux']['objects'].shape == (2, 65, 97, CLASSES)
  params = variables['params']
  assert params['coarse']['conv']['conv']['kernel'].shape == (
      kernel,
      kernel,
      *coarse,
  )
  assert params['context']['pixels']['conv']['kernel'].shape == (
      3,
      3,
      pixels,
      8,
  )


@pytest.mark.parametrize('bias', [False, True])
def test_biases_are_those_of_the_first_convolutions_alone(bias):
  _, variables = shapes(backbone='hrnet/tiny', bias=bias)
  biased = {
      jax.tree_util.keystr(path[:-1], simple=True, separator='/')
      for path, _ in jax.tree.leaves_with_path(variables['params'])
      if path[-1].key == 'bias' and path[-2].key == 'conv'
  }
  assert biased == (
      {'coarse/conv/conv', 'context/pixels/conv'} if bias else set()
  )


def test_the_recipe_of_the_authors_is_for_hrnets():
  config = get_config('cityscapes')
  # 484 epochs of 2975 images, to a hundredth.
  assert abs(config.total_steps * config.batch_size / 2975 / 484 - 1) < 0.01
  config = get_config('pascal_context')
  assert config.optim.factors
  assert config.lr.base == 1e-3
  config = get_config('dataset=cityscapes,backbone=resnet/101_v1c')
  assert config.model.backbone == 'resnet/101_v1c(output_stride=8)'
  assert not config.model.align_corners
  assert not config.class_weights
