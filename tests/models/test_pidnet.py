import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.convert import torch
from segjax.convert.rules.mmseg import pidnet as rules
from segjax.models import pidnet
from segjax.ops.boundary import boundary_loss
from segjax.ops.boundary import boundary_target

NETWORKS = importlib.import_module('configs.pidnet').NETWORKS
NARROW = dict(width=4, pyramid_features=4, head_features=4)


def shapes(size=(33, 41), **fields):
  model = models.create('pidnet', 19, **fields)
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), image)


# Millions of parameters in prediction, which has no heads on P and D. The
# paper gives M 34.4, and its authors' fields of M make fewer.
@pytest.mark.parametrize(('network', 'millions'), [('s', 7.6), ('l', 36.9)])
def test_there_are_as_many_parameters_as_published(network, millions):
  _, variables = shapes(**NETWORKS[network], more_heads=False)
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert abs(sum(sizes) / 1e6 - millions) < 0.06


@pytest.mark.parametrize('large', [False, True])
def test_any_size_has_scores_of_that_size(large):
  out, _ = shapes((63, 65), **NARROW, large=large)
  assert out['logits'].shape == out['aux']['p'].shape == (2, 63, 65, 19)
  assert out['boundary'].shape == (2, 63, 65, 1)


# What the three networks do not have alike.
NAMES = {
    's': {
        'backbone.d_branch_layers.1.0.conv3.bn.bias': (
            'd4/block0/conv3/norm/bias'
        ),
        'backbone.spp.processes.conv.weight': 'pyramid/process/conv/kernel',
        'backbone.dfm.f_p.bn.weight': 'fusion/detail/norm/scale',
    },
    'l': {
        'backbone.d_branch_layers.1.conv2.bn.bias': 'd4/block0/conv2/norm/bias',
        'backbone.spp.processes.2.conv.weight': 'pyramid/process3/conv/kernel',
        'backbone.dfm.conv.bn.weight': 'fusion/conv/norm/scale',
        'backbone.p_branch_layers.0.2.conv1.conv.weight': (
            'p3/block2/conv1/conv/kernel'
        ),
    },
}


@pytest.mark.parametrize('network', NAMES)
def test_tensors_of_mmsegmentation_have_their_variables(network):
  _, variables = shapes(**{**NETWORKS[network], **NARROW})
  plan = torch.Plan(NAMES[network], rules.RULES, variables, 'torch')
  for name, path in NAMES[network].items():
    rank = 4 if path.endswith('kernel') else 1
    assert plan.locate(name, rank)[0] == f'params/{path}'


def identity_kernels(layer, *inputs):
  """Variables with which convolutions of 1x1 and norms change nothing."""
  variables = layer.init(jax.random.key(0), *inputs, False)
  return jax.tree.map(
      lambda x: np.eye(x.shape[-1])[None, None] if x.ndim == 4 else x, variables
  )


@pytest.mark.parametrize('boundary', [-50.0, 50.0])
def test_the_light_fusion_leaves_out_the_other_branch_of_a_place(boundary):
  layer = pidnet.BoundaryFusion(light=True)
  detail, context = np.full((2, 1, 1, 1, 3), [[[[[1.0]]]], [[[[10.0]]]]])
  d = np.full((1, 1, 1, 3), boundary)
  variables = identity_kernels(layer, detail, context, d)
  y = layer.apply(variables, detail, context, d, False)
  at_boundary = boundary > 0
  expected = 1 + (10 + 1) if at_boundary else (10 + 1) + 10
  np.testing.assert_allclose(y, np.full((1, 1, 1, 3), expected), rtol=1e-4)


def test_attention_takes_context_where_it_matches():
  layer = pidnet.AttentionFusion(2)
  detail = np.array([[[[9.0, 0.0], [0.0, 9.0]]]])
  context = np.array([[[[9.0, 1.0], [9.0, -9.0]]]])
  variables = identity_kernels(layer, detail, context)
  y = layer.apply(variables, detail, context, False)
  np.testing.assert_allclose(y[0, 0, 0], context[0, 0, 0], atol=1e-3)
  np.testing.assert_allclose(y[0, 0, 1], detail[0, 0, 1], atol=1e-3)


def test_classes_count_once_more_where_boundaries_are_found():
  labels = np.array([[[0, 0, 1, 255]]], np.uint8)
  scores = np.float32([-9, 9, np.log(0.81 / 0.19), 9])
  out = {
      'logits': None,
      'aux': {'p': None},
      'boundary': scores.reshape(1, 1, 4, 1),
  }
  calls = []

  def base(out, batch, rng):
    del rng
    calls.append((sorted(out['aux']), np.asarray(batch['label']).tolist()))
    return 3.0 * len(calls), {'cross_entropy': 2.0}

  total, parts = pidnet.loss(
      out, {'label': labels}, jax.random.key(0), base=base
  )
  assert calls == [
      (['p'], labels.tolist()),
      ([], [[[255, 0, 1, 255]]]),
  ]
  boundary = boundary_loss(out['boundary'], boundary_target(labels))
  assert parts == {
      'cross_entropy': 2.0,
      'boundary': boundary,
      'at_boundary': 6.0,
  }
  np.testing.assert_allclose(total, 3 + 20 * boundary + 6, rtol=1e-6)
