import jax
import numpy as np
import pytest

from segjax import backbones
from segjax.convert import torch
from segjax.convert.rules.torchvision import densenet
from segjax.convert.rules.torchvision import mobilenet
from segjax.convert.rules.torchvision import vgg


@pytest.mark.parametrize('name', vgg.RULES)
def test_every_module_of_a_vgg_has_its_rule(name):
  params = jax.eval_shape(
      backbones.build(f'vgg/{name}', num_classes=1000).init,
      jax.random.key(0),
      jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32),
  )['params']
  leaves = jax.tree.leaves_with_path(params)
  paths = [
      jax.tree_util.keystr(path[:-1], simple=True, separator='/')
      for path, _ in leaves
  ]
  assert {target for _, target in vgg.RULES[name]} == set(paths)


@pytest.mark.parametrize(
    ('name', 'path'),
    [
        ('features.0.0', 'stem/conv'),
        ('features.1.conv.0.1', 'block1/depthwise/norm'),
        ('features.1.conv.1', 'block1/project/conv'),
        ('features.1.conv.2', 'block1/project/norm'),
        ('features.11.conv.0.0', 'block11/expand/conv'),
        ('features.11.conv.1.0', 'block11/depthwise/conv'),
        ('features.11.conv.3', 'block11/project/norm'),
        ('features.18.1', 'last/norm'),
        ('classifier.1', 'classifier'),
    ],
)
def test_modules_of_mobilenet_v2(name, path):
  assert torch.rename(name, mobilenet.RULES) == path


@pytest.mark.parametrize(
    ('name', 'path'),
    [
        # The first block of the large network, and of the small one.
        ('features.1.block.1.0', 'block1/project/conv'),
        ('features.1.block.1.fc2', 'block1/squeeze/fc2'),
        ('features.1.block.2.0', 'block1/project/conv'),
        # Blocks without a squeeze, and with one.
        ('features.2.block.2.1', 'block2/project/norm'),
        ('features.11.block.0.0', 'block11/expand/conv'),
        ('features.11.block.2.fc1', 'block11/squeeze/fc1'),
        ('features.11.block.3.1', 'block11/project/norm'),
        ('classifier.0', 'hidden'),
        ('classifier.3', 'classifier'),
    ],
)
def test_modules_of_mobilenet_v3(name, path):
  assert torch.rename(name, mobilenet.RULES) == path
  within = name.removeprefix('features.')  # As systems have it.
  assert torch.rename(within, mobilenet.RULES) == path


@pytest.mark.parametrize('dot', ['', '.'])
def test_modules_of_densenets_have_two_spellings(dot):
  layer = 'features.denseblock3.denselayer12'
  for name, path in (
      (f'norm{dot}1', 'block3_12/norm'),
      (f'conv{dot}1', 'block3_12/conv1/conv'),
      (f'norm{dot}2', 'block3_12/conv1/norm'),
      (f'conv{dot}2', 'block3_12/conv2'),
  ):
    assert torch.rename(f'{layer}.{name}', densenet.RULES) == path
