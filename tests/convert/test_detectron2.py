"""Every tensor of a whole network of detectron2 finds its place."""

import jax
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.convert import rules
from segjax.convert import torch

CLASSES = 19
FIXED = ('weight', 'bias', 'running_mean', 'running_var')  # Frozen batch norm.
GROUP = ('weight', 'bias')


def pointrend_names():
  """Returns {name: shape} of PointRend on Semantic FPN with a ResNet-50."""
  shapes = {'pixel_mean': (3, 1, 1), 'pixel_std': (3, 1, 1)}

  def conv(name, *shape, norm=(), bias=False):
    shapes[f'{name}.weight'] = shape
    for leaf in norm:
      shapes[f'{name}.norm.{leaf}'] = shape[:1]
    if bias:
      shapes[f'{name}.bias'] = shape[:1]

  conv('backbone.bottom_up.stem.conv1', 64, 3, 7, 7, norm=FIXED)
  into, head = 64, 'sem_seg_head.coarse_sem_seg_head'
  for number, depth in enumerate((3, 4, 6, 3), 2):
    width = 64 * 2 ** (number - 2)
    for block in range(depth):
      name = f'backbone.bottom_up.res{number}.{block}'
      if block == 0:
        conv(f'{name}.shortcut', 4 * width, into, 1, 1, norm=FIXED)
      conv(f'{name}.conv1', width, into, 1, 1, norm=FIXED)
      conv(f'{name}.conv2', width, width, 3, 3, norm=FIXED)
      conv(f'{name}.conv3', 4 * width, width, 1, 1, norm=FIXED)
      into = 4 * width
    conv(f'backbone.fpn_lateral{number}', 256, into, 1, 1, bias=True)
    conv(f'backbone.fpn_output{number}', 256, 256, 3, 3, bias=True)
    for i in range(max(number - 2, 1)):
      channels = 128 if i else 256
      conv(f'{head}.p{number}.{2 * i}', 128, channels, 3, 3, norm=GROUP)
  conv(f'{head}.predictor', CLASSES, 128, 1, 1, bias=True)
  point = 'sem_seg_head.point_head'
  conv(f'{point}.fc1', 256, 256 + CLASSES, 1, bias=True)
  for i in (2, 3):
    conv(f'{point}.fc{i}', 256, 256, 1, bias=True)
  conv(f'{point}.predictor', CLASSES, 256, 1, bias=True)
  return shapes


def test_pointrend_has_a_place_for_every_tensor():
  shapes = pointrend_names()
  state = {
      name: np.broadcast_to(np.float32(number), shape)
      for number, (name, shape) in enumerate(shapes.items())
  }
  model = models.create(
      'pointrend',
      CLASSES,
      backbone='resnet/50',
      group_norm=True,
      coarse_every_layer=False,
  )
  template = jax.eval_shape(
      model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3))
  )
  converted = torch.convert(
      state, rules.find('detectron2', 'pointrend', 'resnet/50'), template
  )
  numbers = {name: number for number, name in enumerate(shapes)}
  params = converted['params']
  for name, ours in {
      'backbone.bottom_up.res4.5.conv3.norm.bias': params['backbone'][
          'stage3_5'
      ]['conv3']['norm']['bias'],
      'backbone.fpn_output3.bias': params['fpn']['output_c3']['conv']['bias'],
      'sem_seg_head.coarse_sem_seg_head.p5.4.weight': params['c5_conv3'][
          'conv'
      ]['kernel'],
      'sem_seg_head.point_head.fc2.weight': params['points']['fc2']['kernel'],
  }.items():
    assert np.unique(ours).tolist() == [numbers[name]]
