import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import backbones
from segjax import experiment
from segjax import models
from segjax import optim
from segjax.backbones import swin
from segjax.convert import rules
from segjax.convert import torch
from tests.backbones.shapes import shapes

# Millions of parameters of the classifiers, table 1 of the paper.
PUBLISHED = {'tiny': 29, 'base': 88}


@pytest.mark.parametrize('name', PUBLISHED)
def test_there_are_as_many_parameters_as_published(name):
  _, variables = shapes(f'swin/{name}', num_classes=1000)
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert abs(sum(sizes) / 1e6 - PUBLISHED[name]) < 0.8


def test_levels_begin_at_stride_4_and_round_up():
  feats, _ = shapes('swin/mini', (2, 65, 97, 3))
  assert [feats[f'c{i}'].shape for i in range(2, 6)] == [
      (2, 17, 25, 16),
      (2, 9, 13, 32),
      (2, 5, 7, 64),
      (2, 3, 4, 128),
  ]


def test_every_second_block_is_shifted_and_skipped_more_often():
  blocks = []

  def record(call, args, kwargs, context):
    if isinstance(context.module, swin.Block):
      blocks.append((context.module.shifted, context.module.drop_path))
    return call(*args, **kwargs)

  with swin.nn.intercept_methods(record):
    shapes('swin/tiny', (1, 32, 32, 3))
  shifted, rates = zip(*blocks, strict=True)
  assert shifted == (False, True) * 6
  np.testing.assert_allclose(rates, np.linspace(0, 0.3, 12))


def test_merging_joins_neighbours_column_by_column():
  layer = swin.PatchMerging()
  x = np.random.default_rng(0).normal(size=(1, 3, 2, 5)).astype(np.float32)
  variables = layer.init(jax.random.key(0), x)
  joined = np.zeros((2, 20))
  joined[0] = [*x[0, 0, 0], *x[0, 1, 0], *x[0, 0, 1], *x[0, 1, 1]]
  joined[1, :5], joined[1, 10:15] = x[0, 2]
  normalized = joined - joined.mean(1, keepdims=True)
  normalized /= np.sqrt((normalized**2).mean(1, keepdims=True) + 1e-5)
  np.testing.assert_allclose(
      layer.apply(variables, x)[0, :, 0],
      normalized @ variables['params']['reduce']['kernel'],
      atol=1e-6,
  )


@pytest.mark.parametrize(
    ('system', 'backbone'),
    [('semantic_fpn', 'swin/mini'), ('segformer', 'convnext/mini')],
)
def test_systems_that_read_levels_stand_on_it(system, backbone):
  model = models.create(system, 3, backbone=backbone)
  image = jax.ShapeDtypeStruct((1, 65, 97, 3), jnp.float32)
  out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
  assert out['logits'].shape == (1, 65, 97, 3)


def test_it_computes_in_the_type_it_is_given():
  backbone = backbones.build('swin/mini')
  image = jnp.zeros((1, 32, 32, 3), jnp.bfloat16)

  def run(image):
    variables = backbone.init(jax.random.key(0), image)
    variables = jax.tree.map(lambda x: x.astype(jnp.bfloat16), variables)
    return backbone.apply(variables, image, capture_intermediates=True)

  feats, collections = jax.eval_shape(run, image)
  values = jax.tree.leaves((feats, collections['intermediates']))
  assert {value.dtype for value in values} == {jnp.dtype('bfloat16')}


NAMES = [
    ('timm', 'layers.1.downsample.norm.weight', 'merge2/norm/scale'),
    (
        'timm',
        'layers.3.blocks.1.attn.relative_position_bias_table',
        'stage4_1/attention/positions',
    ),
    (
        'timm',
        'layers.0.blocks.1.attn.qkv.bias',
        'stage1_1/attention/qkv/bias',
    ),
    ('timm', 'norm.bias', 'norm/bias'),
    ('timm', 'head.fc.weight', 'classifier/kernel'),
    ('mmseg', 'patch_embed.norm.weight', 'patches_norm/scale'),
    ('mmseg', 'stages.1.blocks.1.norm2.bias', 'stage2_1/norm2/bias'),
    (
        'mmseg',
        'stages.3.blocks.0.attn.w_msa.proj.weight',
        'stage4_0/attention/out/kernel',
    ),
    (
        'mmseg',
        'stages.0.blocks.1.ffn.layers.0.0.weight',
        'stage1_1/expand/kernel',
    ),
    ('mmseg', 'stages.2.downsample.reduction.weight', 'merge4/reduce/kernel'),
    ('mmseg', 'norm3.weight', 'norm4/scale'),
]


@pytest.mark.parametrize(('source', 'name', 'path'), NAMES)
def test_tensors_have_their_variables(source, name, path):
  _, variables = shapes('swin/mini', num_classes=7 if source == 'timm' else 0)
  found = rules.find(source, 'swin', 'swin/mini')
  plan = torch.Plan({name: None}, found, variables, 'torch')
  rank = 1 if path.endswith(('scale', 'bias')) else 2
  assert plan.locate(name, rank)[0] == f'params/{path}'


def config_of(backbone):
  module = importlib.import_module('configs.upernet')
  return module.get_config(f'dataset=ade20k,backbone={backbone}')


def test_norms_and_positions_of_swin_do_not_decay():
  pattern = config_of('swin/base(window=12)').optim.decay_on
  for name, decays in {
      'backbone/stage1_0/attention/positions': False,
      'backbone/stage1_0/norm1/scale': False,
      'backbone/patches_norm/bias': False,
      'backbone/stage1_0/expand/bias': True,
      'fuse/norm/scale': True,
  }.items():
    assert (optim.re.search(pattern, name) is not None) == decays, name


def test_the_learning_rate_of_convnext_falls_towards_the_image():
  for variant, groups in (('tiny', 6), ('small', 12)):
    config = config_of(f'convnext/{variant}')
    factors = experiment.layer_factors(config)
    assert not config.optim.factors
    for name, power in {
        'backbone/patches3/kernel': groups + 1,
        'backbone/stage1_0/norm/scale': groups,
        'backbone/stage4_2/expand/kernel': groups - 3,
        'backbone/norm4/scale': 0,
        'fuse/conv/kernel': 0,
    }.items():
      np.testing.assert_allclose(optim.factor(factors, name), 0.9**power)


def test_merging_of_mmsegmentation_reads_pixels_of_a_channel_in_a_row():
  x = np.random.default_rng(0).normal(size=(1, 2, 2, 16)).astype(np.float32)
  layer = swin.PatchMerging()
  template = {
      'params': {
          'merge2': jax.eval_shape(lambda: layer.init(jax.random.key(0), x))[
              'params'
          ]
      }
  }
  rng = np.random.default_rng(1)
  state = {
      f'stages.0.downsample.{name}': rng.normal(size=shape).astype(np.float32)
      for name, shape in (
          ('norm.weight', (64,)),
          ('norm.bias', (64,)),
          ('reduction.weight', (32, 64)),
      )
  }
  found = rules.find('mmseg', 'swin', 'swin/tiny')
  variables = torch.convert(state, found, template)
  # Its `unfold`: channel by channel, the pixels row by row.
  joined = np.moveaxis(x[0], -1, 0).ravel()
  weight, bias, kernel = state.values()
  normalized = (joined - joined.mean()) / np.sqrt(joined.var() + 1e-5)
  expected = kernel @ (normalized * weight + bias)
  y = layer.apply({'params': variables['params']['merge2']}, x)
  np.testing.assert_allclose(y[0, 0, 0], expected, rtol=1e-4, atol=1e-4)
  shapes_there = {name: tensor.shape for name, tensor in state.items()}
  back = torch.export(variables, found, shapes_there)
  for name, tensor in state.items():
    np.testing.assert_array_equal(back[name], tensor)
