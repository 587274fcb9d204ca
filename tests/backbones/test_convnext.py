import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import backbones
from segjax.backbones import convnext
from segjax.convert import rules
from segjax.convert import torch
from tests.backbones.shapes import shapes

# Millions of parameters of the classifiers, table 1 of the paper.
PUBLISHED = {'tiny': 29, 'base': 89}


@pytest.mark.parametrize('name', PUBLISHED)
def test_there_are_as_many_parameters_as_published(name):
  _, variables = shapes(f'convnext/{name}', num_classes=1000)
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert abs(sum(sizes) / 1e6 - PUBLISHED[name]) < 0.5


def test_levels_begin_at_stride_4_and_round_down():
  feats, _ = shapes('convnext/mini', (2, 65, 97, 3))
  assert [feats[f'c{i}'].shape for i in range(2, 6)] == [
      (2, 16, 24, 16),
      (2, 8, 12, 32),
      (2, 4, 6, 48),
      (2, 2, 3, 64),
  ]


def test_an_image_that_leaves_no_pixel_is_refused():
  shapes('convnext/mini', (1, 32, 32, 3))
  with pytest.raises(ValueError, match='32x32 pixels at least, .* 32 x 31'):
    shapes('convnext/mini', (1, 32, 31, 3))


@pytest.mark.parametrize('scale', [0.0, 1.0])
def test_a_block_begins_with_its_branch_times_the_scale(scale):
  block = convnext.Block(scale=scale, drop_path=1.0)
  x = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype(np.float32)

  @jax.jit
  def run(x):
    key = jax.random.key(0)
    variables = block.init(key, x, False)
    trained = block.apply(variables, x, True, rngs={'dropout': key})
    return trained, block.apply(variables, x, False)

  trained, evaluated = run(x)
  np.testing.assert_array_equal(trained, x)  # Every image skips it.
  assert np.array_equal(evaluated, x) == (scale == 0)


def test_it_computes_in_the_type_it_is_given():
  backbone = backbones.build('convnext/mini')
  image = jnp.zeros((1, 32, 32, 3), jnp.bfloat16)

  def run(image):
    variables = backbone.init(jax.random.key(0), image)
    variables = jax.tree.map(lambda x: x.astype(jnp.bfloat16), variables)
    return backbone.apply(variables, image, capture_intermediates=True)

  feats, collections = jax.eval_shape(run, image)
  values = jax.tree.leaves((feats, collections['intermediates']))
  assert {value.dtype for value in values} == {jnp.dtype('bfloat16')}


NAMES = [
    ('timm', 'stem.0.weight', 'patches1/kernel'),
    ('timm', 'stem.1.weight', 'patches1_norm/scale'),
    ('timm', 'stages.2.downsample.0.weight', 'patches3_norm/scale'),
    ('timm', 'stages.2.downsample.1.weight', 'patches3/kernel'),
    ('timm', 'stages.2.blocks.1.gamma', 'stage3_1/scale/scale'),
    ('timm', 'stages.0.blocks.0.conv_dw.bias', 'stage1_0/depthwise/bias'),
    ('timm', 'head.norm.weight', 'norm/scale'),
    ('mmseg', 'downsample_layers.0.0.weight', 'patches1/kernel'),
    ('mmseg', 'downsample_layers.3.0.weight', 'patches4_norm/scale'),
    ('mmseg', 'downsample_layers.3.1.weight', 'patches4/kernel'),
    ('mmseg', 'stages.2.1.pointwise_conv2.bias', 'stage3_1/reduce/bias'),
    ('mmseg', 'norm0.bias', 'norm1/bias'),
]


@pytest.mark.parametrize(('source', 'name', 'path'), NAMES)
def test_tensors_have_their_variables(source, name, path):
  _, variables = shapes(
      'convnext/mini', num_classes=7 if source == 'timm' else 0
  )
  found = rules.find(source, 'convnext', 'convnext/mini')
  plan = torch.Plan({name: None}, found, variables, 'torch')
  rank = 4 if path.endswith('kernel') else 1
  assert plan.locate(name, rank)[0] == f'params/{path}'
