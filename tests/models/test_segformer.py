import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax import optim
from segjax.convert import rules
from segjax.convert import torch

CLASSES = 4
IMAGE = jax.ShapeDtypeStruct((1, 65, 97, 3), jnp.float32)


def variables(**fields):
  """Variables of a small model, as shapes."""
  model = models.create(
      'segformer', CLASSES, **{'backbone': 'mit/tiny', 'features': 8, **fields}
  )
  return jax.eval_shape(model.init, jax.random.key(0), IMAGE)


@pytest.mark.parametrize('linear', [False, True])
def test_projections_of_the_paper_are_linear(linear):
  params = variables(linear=linear)['params']
  for level in ('c2', 'c3', 'c4', 'c5'):
    parts = {'kernel', 'bias'} if linear else {'conv', 'norm'}
    assert set(params[f'project_{level}']) == parts


def test_levels_are_joined_at_stride_4():
  levels = 'c5', 'c4', 'c3', 'c2', 'c1'
  model = models.create(
      'segformer', CLASSES, backbone='resnet/tiny', levels=levels, features=8
  )

  def run(image):
    return model.init_with_output(
        jax.random.key(0),
        image,
        capture_intermediates=True,
        mutable=['params', 'batch_stats', 'intermediates'],
    )

  out, found = jax.eval_shape(run, IMAGE)
  assert out['logits'].shape == (1, 65, 97, CLASSES)
  inner = found['intermediates']
  assert inner['fuse']['__call__'][0].shape == (1, 17, 25, 8)
  assert found['params']['fuse']['conv']['kernel'].shape[2] == 5 * 8


def test_norms_of_the_backbone_do_not_decay_and_the_head_learns_faster():
  config = importlib.import_module('configs.segformer').get_config('ade20k')
  for name, decays, factor in (
      ('backbone/stage1_0/norm1/scale', False, 1),
      ('backbone/patches1_norm/bias', False, 1),
      ('backbone/stage1_0/attention/reduced_norm/scale', False, 1),
      ('backbone/stage1_0/attention/reduced/kernel', True, 1),
      ('fuse/norm/scale', True, 10),
      ('classifier/kernel', True, 10),
  ):
    assert bool(re.search(config.optim.decay_on, name)) == decays, name
    assert optim.factor(config.optim.factors, name) == factor, name


def test_names_of_the_authors_fill_every_variable_and_come_back():
  widths = 8, 16, 32, 64
  layers = {
      'decode_head.linear_fuse.conv': (8, 32, 1, 1),
      'decode_head.linear_fuse.bn': (8,),
      'decode_head.linear_pred': (CLASSES, 8, 1, 1),
      'decode_head.conv_seg': (CLASSES, 8, 1, 1),
  }
  for i, width in enumerate(widths, 1):
    inputs, side = (widths[i - 2], 3) if i > 1 else (3, 7)
    block = f'backbone.block{i}.0'
    layers |= {
        f'backbone.patch_embed{i}.proj': (width, inputs, side, side),
        f'backbone.patch_embed{i}.norm': (width,),
        f'backbone.norm{i}': (width,),
        f'{block}.norm1': (width,),
        f'{block}.norm2': (width,),
        f'{block}.attn.q': (width, width),
        f'{block}.attn.kv': (2 * width, width),
        f'{block}.attn.proj': (width, width),
        f'{block}.mlp.fc1': (4 * width, width),
        f'{block}.mlp.dwconv.dwconv': (4 * width, 1, 3, 3),
        f'{block}.mlp.fc2': (width, 4 * width),
        f'decode_head.linear_c{i}.proj': (8, width),
    }
    if i < 4:
      side = 2 ** (4 - i)
      layers[f'{block}.attn.sr'] = (width, width, side, side)
      layers[f'{block}.attn.norm'] = (width,)
  shapes = {}
  for layer, shape in layers.items():
    shapes |= {f'{layer}.weight': shape, f'{layer}.bias': shape[:1]}
  del shapes['decode_head.linear_fuse.conv.bias']
  for leaf in ('running_mean', 'running_var'):
    shapes[f'decode_head.linear_fuse.bn.{leaf}'] = (8,)
  rng = np.random.default_rng(0)
  state = {k: rng.normal(size=v).astype(np.float32) for k, v in shapes.items()}

  found = rules.find('nvlabs', 'segformer', 'mit/b0')
  filled = torch.convert(state, found, variables(linear=True))
  attention = filled['params']['backbone']['stage2_0']['attention']
  np.testing.assert_array_equal(
      attention['value']['kernel'],
      state['backbone.block2.0.attn.kv.weight'][16:].T,
  )
  used = {k: v for k, v in shapes.items() if 'conv_seg' not in k}
  back = torch.export(filled, found, used)
  for name, tensor in back.items():
    np.testing.assert_array_equal(tensor, state[name])
