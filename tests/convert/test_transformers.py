"""Names of transformers, in its files and in its library since version 5."""

import jax
import numpy as np
import pytest

from segjax import backbones
from segjax import models
from segjax.convert import rules
from segjax.convert import torch

MIT = 'mit/tiny(epsilon=1e-5, reduced_epsilon=1e-5)'
GATED = 'vit/dinov2_giant(width=24, depth=1, heads=2, image_size=(28, 28))'
PLAIN = 'vit/tiny(width=24, depth=1, heads=2, image_size=(32, 32))'
# Backbone, the name in files and that in the library, variable.
BACKBONES = [
    (
        MIT,
        'segformer.encoder.patch_embeddings.1.proj.weight',
        'segformer.stages.1.patch_embeddings.proj.weight',
        'patches2/kernel',
    ),
    (
        MIT,
        'segformer.encoder.patch_embeddings.0.layer_norm.bias',
        'segformer.stages.0.patch_embeddings.layer_norm.bias',
        'patches1_norm/bias',
    ),
    (
        MIT,
        'segformer.encoder.block.2.0.layer_norm_2.weight',
        'segformer.stages.2.blocks.0.layernorm_after.weight',
        'stage3_0/norm2/scale',
    ),
    (
        MIT,
        'segformer.encoder.block.0.0.attention.self.key.bias',
        'segformer.stages.0.blocks.0.attention.k_proj.bias',
        'stage1_0/attention/key/bias',
    ),
    (
        MIT,
        'segformer.encoder.block.0.0.attention.self.sr.weight',
        'segformer.stages.0.blocks.0.attention.sequence_reduction'
        '.sequence_reduction.weight',
        'stage1_0/attention/reduced/kernel',
    ),
    (
        MIT,
        'segformer.encoder.block.0.0.attention.self.layer_norm.weight',
        'segformer.stages.0.blocks.0.attention.sequence_reduction'
        '.layer_norm.weight',
        'stage1_0/attention/reduced_norm/scale',
    ),
    (
        MIT,
        'segformer.encoder.block.1.0.mlp.dense2.bias',
        'segformer.stages.1.blocks.0.mlp.fc2.bias',
        'stage2_0/mlp/reduce/bias',
    ),
    (
        MIT,
        'segformer.encoder.layer_norm.3.weight',
        'segformer.stages.3.layer_norm.weight',
        'norm4/scale',
    ),
    (
        'swin/mini',
        'swin.encoder.layers.0.blocks.1.attention.output.dense.weight',
        'swin.encoder.layers.0.blocks.1.attention.o_proj.weight',
        'stage1_1/attention/out/kernel',
    ),
    ('swin/mini', 'swin.layernorm.bias', 'layernorm.bias', 'norm/bias'),
    (
        'convnext/mini',
        'convnext.encoder.stages.1.downsampling_layer.0.weight',
        'encoder.stages.1.downsampling_layer.0.weight',
        'patches2_norm/scale',
    ),
    ('convnext/mini', 'convnext.layernorm.bias', 'layernorm.bias', 'norm/bias'),
    (
        PLAIN,
        'vit.encoder.layer.0.output.dense.weight',
        'vit.layers.0.mlp.fc2.weight',
        'block0/reduce/kernel',
    ),
    (
        PLAIN,
        'vit.encoder.layer.0.attention.output.dense.weight',
        'vit.layers.0.attention.o_proj.weight',
        'block0/attention/out/kernel',
    ),
    (PLAIN, 'vit.layernorm.weight', 'layernorm.weight', 'norm/scale'),
    (
        GATED,
        'encoder.layer.0.mlp.weights_out.weight',
        'dinov2.encoder.layer.0.mlp.down_proj.weight',
        'block0/reduce/kernel',
    ),
]


def shapes(module):
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
  return jax.eval_shape(module.init, jax.random.key(0), image)


@pytest.mark.parametrize(('backbone', 'old', 'new', 'path'), BACKBONES)
def test_both_names_of_a_tensor_are_one_variable(backbone, old, new, path):
  template = shapes(backbones.build(backbone, num_classes=7))
  family = backbone.partition('/')[0]
  renaming = rules.find('transformers', family, backbone)
  plan = torch.Plan([old, new], renaming, template, 'torch')
  variable = f'params/{path}'
  rank = len(plan.shape(variable))
  assert [plan.locate(name, rank) for name in (old, new)] == [
      (variable, False)
  ] * 2


def test_a_gate_of_its_own_comes_first():
  """Files have one tensor for what the library splits into two."""
  template = shapes(backbones.build(GATED))
  renaming = rules.find('transformers', 'vit', GATED)
  names = 'gate_proj', 'up_proj'
  new = {
      f'encoder.layer.0.mlp.{name}.bias': np.full(64, i, np.float32)
      for i, name in enumerate(names)
  }
  plan = torch.Plan(new, renaming, template, 'torch')
  (joint,) = (j for j in plan.joints if j.variables == EXPANDED)
  parts = [new[name] for name in new]
  assert joint.tensors == [f'block0/{name}/bias' for name in ('gate', 'up')]
  old = np.concatenate(parts)
  np.testing.assert_array_equal(joint.read(*parts)[0], old)
  for part, back in zip(parts, joint.write(old), strict=True):
    np.testing.assert_array_equal(part, back)


EXPANDED = ['params/block0/expand/bias']


def test_projections_of_segformer_go_to_their_levels():
  template = shapes(
      models.create('segformer', 7, backbone=MIT, linear=True, features=8)
  )
  renaming = rules.find('transformers', 'segformer', MIT)
  for module in 'linear_c', 'linear_projections':
    name = f'decode_head.{module}.0.proj.weight'
    plan = torch.Plan([name], renaming, template, 'torch')
    assert plan.locate(name, 2) == ('params/project_c2/kernel', False)


@pytest.mark.parametrize('norm', [False, True])
def test_units_of_dpt_have_batch_norm_or_biases(norm):
  fields = dict(taps=(0, 0, 0, 0), widths=(4, 5, 6, 7), features=3)
  template = shapes(
      models.create('dpt', 7, backbone=PLAIN, fusion_norm=norm, **fields)
  )
  renaming = rules.find('transformers', 'dpt', PLAIN)
  unit = 'neck.fusion_stage.layers.1.residual_layer2'
  kept = ['batch_norm2.weight'] if norm else ['convolution2.bias']
  names = [f'{unit}.{name}' for name in ('convolution2.weight', *kept)]
  plan = torch.Plan(names, renaming, template, 'torch')
  path = 'params/fusion1/unit2/conv2'
  found = [plan.locate(n, r) for n, r in zip(names, (4, 1), strict=True)]
  last = f'{path}/norm/scale' if norm else f'{path}/conv/bias'
  assert found == [(f'{path}/conv/kernel', False), (last, False)]
  assert ('norm' in template['params']['fusion1']['unit2']['conv2']) == norm
