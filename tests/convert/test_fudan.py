"""SETR's authors have biases in front of norms, and a classifier too many."""

import jax
import numpy as np

from segjax import models
from segjax.convert import rules
from segjax.convert import torch

BACKBONE = 'vit/tiny(width=8, depth=1, heads=2, patch=16, image_size=(32, 32))'
CLASSES, FEATURES = 3, 4


def head(name, steps):
  """Returns {name: shape} of a head; `conv_seg` is not used."""
  shapes = {f'{name}.conv_seg.weight': (CLASSES, 6, 1, 1)}
  shapes |= {f'{name}.norm.{leaf}': (8,) for leaf in ('weight', 'bias')}
  for i in range(steps):
    into = FEATURES if i else 8
    shapes[f'{name}.conv_{i}.weight'] = (FEATURES, into, 3, 3)
    shapes[f'{name}.conv_{i}.bias'] = (FEATURES,)
    for leaf in ('weight', 'bias', 'running_mean', 'running_var'):
      shapes[f'{name}.syncbn_fc_{i}.{leaf}'] = (FEATURES,)
  shapes[f'{name}.conv_{steps}.weight'] = (CLASSES, FEATURES, 1, 1)
  shapes[f'{name}.conv_{steps}.bias'] = (CLASSES,)
  return shapes


def backbone():
  shapes = {
      'cls_token': (1, 1, 8),
      'pos_embed': (1, 5, 8),
      'patch_embed.proj.weight': (8, 3, 16, 16),
      'patch_embed.proj.bias': (8,),
  }
  for name, out, into in (
      ('attn.qkv', 24, 8),
      ('attn.proj', 8, 8),
      ('mlp.fc1', 32, 8),
      ('mlp.fc2', 8, 32),
  ):
    shapes[f'blocks.0.{name}.weight'] = (out, into)
    shapes[f'blocks.0.{name}.bias'] = (out,)
  for i in (1, 2):
    shapes |= {f'blocks.0.norm{i}.{leaf}': (8,) for leaf in ('weight', 'bias')}
  return {f'backbone.{name}': shape for name, shape in shapes.items()}


def test_progressive_upsampling_goes_there_and_back():
  names = backbone() | head('decode_head', 4) | head('auxiliary_head.0', 1)
  rng = np.random.default_rng(0)
  state = {
      name: rng.normal(size=shape).astype(np.float32)
      for name, shape in names.items()
  }
  model = models.create(
      'setr',
      CLASSES,
      backbone=BACKBONE,
      decoder='pup',
      taps=(0,),
      aux_taps=(0,),
      aux_steps=1,
      features=FEATURES,
  )
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
  template = jax.eval_shape(model.init, jax.random.key(0), image)
  renaming = rules.find('fudan', 'setr', BACKBONE)
  variables = torch.convert(state, renaming, template)
  back = torch.export(variables, renaming, names)
  for name, tensor in state.items():
    module, _, leaf = name.rpartition('.')
    before_norm = f'{module}.running_mean'.replace('conv', 'syncbn_fc')
    if name.endswith('conv_seg.weight'):
      assert name not in back
    elif leaf == 'bias' and before_norm in state and 'conv' in module:
      assert not back[name].any()
    elif leaf == 'running_mean':
      bias = state[name.replace('syncbn_fc', 'conv').replace(leaf, 'bias')]
      np.testing.assert_allclose(back[name], tensor - bias, rtol=1e-6)
    else:
      np.testing.assert_array_equal(back[name], tensor, name)
