"""Every tensor of systems of pytorch-segmentation finds its place."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.convert import rules
from segjax.convert import torch

CLASSES = 5


class Names(dict):
  """{name: shape} of tensors."""

  def conv(self, name, *shape, bias=True):
    self[f'{name}.weight'] = shape
    if bias:
      self[f'{name}.bias'] = shape[:1]

  def norm(self, name, channels):
    for leaf in ('weight', 'bias', 'running_mean', 'running_var'):
      self[f'{name}.{leaf}'] = (channels,)

  def pair(self, conv, norm, *shape):
    self.conv(conv, *shape, bias=False)
    self.norm(norm, shape[0])

  def resnet50(self, prefix, into):
    for stage, depth in enumerate((3, 4, 6, 3), 1):
      width = 32 * 2**stage
      for i in range(depth):
        block = f'{prefix}layer{stage}.{i}'
        self.pair(f'{block}.conv1', f'{block}.bn1', width, into, 1, 1)
        self.pair(f'{block}.conv2', f'{block}.bn2', width, width, 3, 3)
        self.pair(f'{block}.conv3', f'{block}.bn3', 4 * width, width, 1, 1)
        if i == 0:
          down = f'{block}.downsample'
          self.pair(f'{down}.0', f'{down}.1', 4 * width, into, 1, 1)
        into = 4 * width


def deeplabv3plus():
  names = Names()
  names.pair('backbone.layer0.0', 'backbone.layer0.1', 64, 3, 7, 7)
  names.resnet50('backbone.', 64)
  for i, side in enumerate((1, 3, 3, 3), 1):
    aspp = f'ASSP.aspp{i}'
    names.pair(f'{aspp}.0', f'{aspp}.1', 256, 2048, side, side)
  names.pair('ASSP.avg_pool.1', 'ASSP.avg_pool.2', 256, 2048, 1, 1)
  names.pair('ASSP.conv1', 'ASSP.bn1', 256, 1280, 1, 1)
  names.pair('decoder.conv1', 'decoder.bn1', 48, 256, 1, 1)
  names.pair('decoder.output.0', 'decoder.output.1', 256, 304, 3, 3)
  names.pair('decoder.output.3', 'decoder.output.4', 256, 256, 3, 3)
  names.conv('decoder.output.7', CLASSES, 256, 1, 1)
  return names


def pspnet():
  names = Names()
  names.pair('initial.0.0', 'initial.0.1', 64, 3, 3, 3)
  names.pair('initial.0.3', 'initial.0.4', 64, 64, 3, 3)
  names.pair('initial.0.6', 'initial.1', 128, 64, 3, 3)
  names.resnet50('', 128)
  head = 'master_branch.0'
  for i in range(4):
    stage = f'{head}.stages.{i}'
    names.pair(f'{stage}.1', f'{stage}.2', 512, 2048, 1, 1)
  names.pair(f'{head}.bottleneck.0', f'{head}.bottleneck.1', 512, 4096, 3, 3)
  names.conv('master_branch.1', CLASSES, 512, 1, 1)
  names.pair('auxiliary_branch.0', 'auxiliary_branch.1', 512, 1024, 3, 3)
  names.conv('auxiliary_branch.4', CLASSES, 512, 1, 1)
  return names


def gcn():
  names = Names()
  names.pair('backbone.initial.0', 'backbone.initial.1', 64, 3, 7, 7)
  names.resnet50('backbone.', 64)
  for i in (1, 2, 3, 4):
    into = 128 * 2**i
    for branch, sides in ((1, (11, 1)), (2, (1, 11))):
      names.conv(f'gcn{i}.conv{branch}1', CLASSES, into, *sides)
      names.conv(f'gcn{i}.conv{branch}2', CLASSES, CLASSES, *sides[::-1])
  for i in range(1, 10):
    for j in (1, 2):
      names.norm(f'br{i}.bn{j}', CLASSES)
      names.conv(f'br{i}.conv{j}', CLASSES, CLASSES, 3, 3)
  names.conv('final_conv', CLASSES, CLASSES, 1, 1)
  return names


def fcn():
  names, into = Names(), 3
  for part, number, width in (
      *((3, 0, 64), (3, 2, 64), (3, 5, 128), (3, 7, 128)),
      *((3, 10, 256), (3, 12, 256), (3, 14, 256)),
      *((4, 0, 512), (4, 2, 512), (4, 4, 512)),
      *((5, 0, 512), (5, 2, 512), (5, 4, 512)),
  ):
    names.conv(f'pool{part}.{number}', width, into, 3, 3)
    into = width
  names.conv('output.0', 4096, 512, 7, 7)
  names.conv('output.3', 4096, 4096, 1, 1)
  names.conv('output.6', CLASSES, 4096, 1, 1)
  names.conv('adj_pool3', CLASSES, 256, 1, 1)
  names.conv('adj_pool4', CLASSES, 512, 1, 1)
  for name, side in (('up_output', 4), ('up_pool4_out', 4), ('up_final', 16)):
    names.conv(name, CLASSES, CLASSES, side, side, bias=False)
  return names


def upernet():
  names = Names()
  names.pair('backbone.initial.0', 'backbone.initial.1', 64, 3, 7, 7)
  names.resnet50('backbone.', 64)
  for i in range(4):
    stage = f'PPN.stages.{i}'
    names.pair(f'{stage}.1', f'{stage}.2', 512, 2048, 1, 1)
  names.pair('PPN.bottleneck.0', 'PPN.bottleneck.1', 2048, 4096, 3, 3)
  for i in range(3):
    names.conv(f'FPN.conv1x1.{i}', 256, 512 * 2**i, 1, 1)
    names.conv(f'FPN.smooth_conv.{i}', 256, 256, 3, 3)
  names.pair('FPN.conv_fusion.0', 'FPN.conv_fusion.1', 256, 1024, 3, 3)
  names.conv('head', CLASSES, 256, 3, 3)
  return names


def unet():
  names = Names()

  def convs(name, into, out):
    names.pair(f'{name}.0', f'{name}.1', out // 2, into, 3, 3)
    names.pair(f'{name}.3', f'{name}.4', out, out // 2, 3, 3)

  convs('start_conv', 3, 64)
  for i in (1, 2, 3, 4):
    convs(f'down{i}.down_conv', 32 * 2**i, 64 * 2**i)
    into = 2048 // 2**i
    names[f'up{i}.up.weight'] = into, into // 2, 2, 2
    names[f'up{i}.up.bias'] = (into // 2,)
    convs(f'up{i}.up_conv', into, into // 2)
  convs('middle_conv', 1024, 1024)
  names.conv('final_conv', CLASSES, 64, 1, 1)
  return names


@pytest.mark.parametrize(
    ('names', 'fields'),
    [
        (
            deeplabv3plus,
            dict(
                backbone='resnet/50(output_stride=16, dilate_first=True)',
                separable=False,
                image_first=False,
            ),
        ),
        (
            pspnet,
            dict(
                backbone='resnet/50_v1s(output_stride=8)',
                aux_features=512,
                align_pyramid=True,
            ),
        ),
        (gcn, dict(backbone='resnet/50', kernel=11, last_conv=True)),
        (fcn, dict(scales=(0.01, 0.0001))),
        (
            upernet,
            dict(
                backbone='resnet/50(output_stride=16, dilate_first=True)',
                shared=True,
                features=256,
                bins=(1, 2, 4, 6),
                aux_level='',
            ),
        ),
        (unet, dict(narrow=True, aux_level='')),
    ],
)
def test_every_tensor_has_a_place_and_comes_back(names, fields):
  stem = names.__name__
  shapes = names()
  state = {
      name: np.broadcast_to(np.float32(number), shape)
      for number, (name, shape) in enumerate(shapes.items())
  }
  for name in state:  # One convolution under three names.
    if name.startswith('FPN.smooth_conv'):
      state[name] = state[re.sub(r'\.\d\.', '.0.', name)]
  model = models.create(stem, CLASSES, **fields)
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  template = jax.eval_shape(model.init, jax.random.key(0), image)
  renaming = rules.find('yassouali', stem, fields.get('backbone', ''))
  variables = torch.convert(state, renaming, template)
  kept = {n: s for n, s in shapes.items() if '.bn' not in n or 'br' not in n}
  back = torch.export(variables, renaming, kept)
  assert set(back) == set(kept)
  for name, value in back.items():
    assert (value == state[name]).all(), name


def test_the_decoder_of_deeplab_reads_low_features_last():
  channels = np.arange(304.0, dtype=np.float32)
  state = {
      name: np.zeros(shape, np.float32)
      for name, shape in deeplabv3plus().items()
  }
  name = 'decoder.output.0.weight'
  state[name] = np.broadcast_to(channels[:, None, None], state[name].shape)
  model = models.create(
      'deeplabv3plus', CLASSES, backbone='resnet/50', separable=False
  )
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  template = jax.eval_shape(model.init, jax.random.key(0), image)
  renaming = rules.find('yassouali', 'deeplabv3plus', 'resnet/50')
  params = torch.convert(state, renaming, template)['params']
  expected = [*channels[48:], *channels[:48]]
  kernel = params['refine1']['conv']['kernel']
  np.testing.assert_array_equal(kernel[1, 1, :, 7], expected)
