import importlib

import jax
import numpy as np
import pytest

from segjax import optim
from segjax.backbones import swin
from segjax.convert import rules
from segjax.convert import torch
from tests.backbones.shapes import shapes

# Millions of parameters of the classifiers, tables 1 and 7 of the paper.
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
    ('family', 'name', 'path'),
    [
        ('swin', 'layers.1.downsample.norm.weight', 'merge2/norm/scale'),
        (
            'swin',
            'layers.3.blocks.1.attn.relative_position_bias_table',
            'stage4_1/attention/positions',
        ),
        (
            'swin',
            'layers.0.blocks.1.attn.qkv.bias',
            'stage1_1/attention/qkv/bias',
        ),
        ('swin', 'norm.bias', 'norm/bias'),
        ('swin', 'head.fc.weight', 'classifier/kernel'),
        ('convnext', 'stem.0.weight', 'patches1/kernel'),
        ('convnext', 'stages.2.downsample.1.weight', 'patches3/kernel'),
        ('convnext', 'stages.2.blocks.1.gamma', 'stage3_1/scale/scale'),
        (
            'convnext',
            'stages.0.blocks.0.conv_dw.bias',
            'stage1_0/depthwise/bias',
        ),
        ('convnext', 'head.norm.weight', 'norm/scale'),
    ],
)
def test_tensors_of_timm_have_their_variables(family, name, path):
  _, variables = shapes(f'{family}/mini', num_classes=7)
  found = rules.find('timm', family, f'{family}/mini')
  plan = torch.Plan({name: None}, found, variables, 'torch')
  rank = 4 if name == 'stem.0.weight' or '.downsample.1' in name else 2
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
    factors = config_of(f'convnext/{variant}').optim.factors
    for name, power in {
        'backbone/patches3/kernel': groups + 1,
        'backbone/stage1_0/norm/scale': groups,
        'backbone/stage4_2/expand/kernel': groups - 3,
        'backbone/norm4/scale': 0,
        'fuse/conv/kernel': 0,
    }.items():
      np.testing.assert_allclose(optim.factor(factors, name), 0.9**power)
