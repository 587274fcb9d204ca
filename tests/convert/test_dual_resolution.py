"""DDRNet and PIDNet of their authors."""

import jax
import jax.numpy as jnp
import pytest

from segjax import models
from segjax.convert import rules
from segjax.convert import torch

NARROW = dict(width=4, pyramid_features=4, head_features=4)


def sequence(name, layers):
  """Names of layers 'c', a convolution, and 'n', a norm, by their places."""
  for place, layer in enumerate(layers):
    if layer in 'cn':
      yield f'{name}.{place}', layer


def block(name, convs, shortcut):
  for i in range(1, convs + 1):
    yield f'{name}.conv{i}', 'c'
    yield f'{name}.bn{i}', 'n'
  if shortcut:
    yield from sequence(f'{name}.downsample', 'cn')


def layer(name, depth, convs=2, shortcut=True):
  for i in range(depth):
    yield from block(f'{name}.{i}', convs, shortcut and i == 0)


def head(name):
  for part, kind in (('bn1', 'n'), ('conv1', 'c'), ('bn2', 'n')):
    yield f'{name}.{part}', kind
  yield f'{name}.conv2', 'b'  # With a bias.


def stem(depth):
  yield from (('conv1.0', 'b'), ('conv1.1', 'n'))
  yield from (('conv1.3', 'b'), ('conv1.4', 'n'))
  yield from layer('layer1', depth, shortcut=False)
  yield from layer('layer2', depth)


def pyramid(parallel):
  for i in range(5):
    yield from sequence(f'spp.scale{i}', '.n.c' if i else 'n.c')
  names = ['process1', 'process2', 'process3', 'process4']
  for name in (['scale_process'] if parallel else names):
    yield from sequence(f'spp.{name}', 'n.c')
  yield from sequence('spp.compression', 'n.c')
  yield from sequence('spp.shortcut', 'n.c')


def ddrnet():
  yield from stem(2)
  for i in (3, 4):
    yield from layer(f'layer{i}', 2)
    yield from layer(f'layer{i}_', 2, shortcut=False)
    yield from sequence(f'compression{i}', 'cn')
    yield from sequence(f'down{i}', 'cn' if i == 3 else 'cn.cn')
  yield from layer('layer5', 1, convs=3)
  yield from layer('layer5_', 1, convs=3)
  yield from pyramid(parallel=False)
  yield from head('final_layer')
  yield from head('seghead_extra')


def pidnet(large):
  m, n = (3, 4) if large else (2, 3)
  yield from stem(m)
  for i in (3, 4):
    yield from layer(f'layer{i}', n)
    yield from layer(f'layer{i}_', m, shortcut=False)
    yield from sequence(f'compression{i}', 'cn')
    yield from sequence(f'diff{i}', 'cn')
    yield from sequence(f'pag{i}.f_x', 'cn')
    yield from sequence(f'pag{i}.f_y', 'cn')
  yield from layer('layer5', 2, convs=3)
  yield from layer('layer5_', 1, convs=3)
  yield from block('layer3_d', 2, shortcut=not large)
  if large:
    yield from block('layer4_d', 2, shortcut=False)
    yield from sequence('dfm.conv', 'n.c')
  else:
    yield from layer('layer4_d', 1, convs=3)
    yield from sequence('dfm.conv_p', 'cn')
    yield from sequence('dfm.conv_i', 'cn')
  yield from layer('layer5_d', 1, convs=3)
  yield from pyramid(parallel=not large)
  for name in ('final_layer', 'seghead_p', 'seghead_d'):
    yield from head(name)


LARGE = dict(stem_depth=3, branch_depth=4, large=True)
CASES = {
    'DDRNet_23_slim': ('ydhonghit', 'ddrnet', {}, list(ddrnet())),
    'PIDNet_S': ('xujiacong', 'pidnet', {}, list(pidnet(large=False))),
    'PIDNet_L': ('xujiacong', 'pidnet', LARGE, list(pidnet(large=True))),
}
TENSORS = {
    'b': (('weight', 4), ('bias', 1)),
    'c': (('weight', 4),),
    'n': tuple(
        (x, 1) for x in ('weight', 'bias', 'running_mean', 'running_var')
    ),
}


@pytest.mark.parametrize('case', CASES)
def test_tensors_of_the_authors_and_variables_are_one_to_one(case):
  source, name, fields, layers = CASES[case]
  model = models.create(name, 5, **NARROW, **fields)
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  template = jax.eval_shape(model.init, jax.random.key(0), image)
  state = {
      f'{layer}.{tensor}': rank
      for layer, kind in layers
      for tensor, rank in TENSORS[kind]
  }
  plan = torch.Plan(state, rules.find(source, name, ''), template, 'torch')
  places = [plan.locate(tensor, rank)[0] for tensor, rank in state.items()]
  assert len(set(places)) == len(places)
  # What a joint reads beside variables: biases in front of the first norms.
  assert set(places) - set(plan.variables) == {
      path for joint in plan.joints for path in joint.tensors
  } - set(plan.variables)
  assert set(plan.variables) <= set(places)
