import collections
import importlib

import jax
import jax.numpy as jnp
import pytest

from segjax import models
from segjax.backbones import hrnet as backbone
from segjax.layers import head
from segjax.layers import levels
from segjax.ops.resize import resize


def shapes(**fields):
  model = models.create('hrnet', 19, **fields)
  image = jax.ShapeDtypeStruct((1, 40, 56, 3), jnp.float32)
  return jax.eval_shape(model.init, jax.random.key(0), image)


def test_the_smallest_variant_has_as_many_parameters_as_published():
  params = shapes(backbone='hrnet/w18_small_v1')['params']
  count = sum(x.size for x in jax.tree.leaves(params))
  assert abs(count / 1e6 - 1.5) < 0.05  # The authors: 1.5 million.


@pytest.mark.parametrize('aligned', [False, True])
def test_corners_are_aligned_wherever_maps_are_enlarged(monkeypatch, aligned):
  given = collections.defaultdict(list)
  for module in (backbone, levels, head):

    def record(x, size, *, align_corners=False, module=module):
      given[module].append(align_corners)
      return resize(x, size, align_corners=align_corners)

    monkeypatch.setattr(module, 'resize', record)
  shapes(backbone='hrnet/tiny', align_corners=aligned)
  # Exchanges of stages with 2, 3 and 4 branches; 4 branches; the logits.
  counts = {backbone: 1 + 3 + 6, levels: 4, head: 1}
  assert given == {module: [aligned] * n for module, n in counts.items()}


def test_cityscapes_has_the_recipe_of_the_authors():
  get_config = importlib.import_module('configs.hrnet').get_config
  config = get_config('cityscapes')
  # 484 epochs of 2975 images, to a hundredth.
  assert abs(config.total_steps * config.batch_size / 2975 / 484 - 1) < 0.01
  assert len(config.class_weights.split(',')) == 19
  assert not get_config('ade20k').class_weights
