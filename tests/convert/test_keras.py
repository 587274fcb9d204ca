"""MobileNetV2 by the names of Keras, and back."""

import jax
import jax.numpy as jnp
import numpy as np

from segjax import backbones
from segjax.convert import rules
from segjax.convert import torch

NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')


def names():
  """Returns {name: shape} of the variables of Keras' MobileNetV2."""
  shapes = {}

  def layer(name, norm, *shape):
    shapes[f'{name}/kernel'] = shape
    channels = shape[2] if shape[3] == 1 else shape[3]
    shapes.update({f'{norm}/{leaf}': (channels,) for leaf in NORM})

  layer('Conv1', 'bn_Conv1', 3, 3, 3, 32)
  width, block = 32, 0
  for expansion, features, depth in (
      *((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4)),
      *((6, 96, 3), (6, 160, 3), (6, 320, 1)),
  ):
    for _ in range(depth):
      name = f'block_{block}' if block else 'expanded_conv'
      wide = expansion * width
      if block:
        layer(f'{name}_expand', f'{name}_expand_BN', 1, 1, width, wide)
      layer(f'{name}_depthwise', f'{name}_depthwise_BN', 3, 3, wide, 1)
      layer(f'{name}_project', f'{name}_project_BN', 1, 1, wide, features)
      width, block = features, block + 1
  layer('Conv_1', 'Conv_1_bn', 1, 1, 320, 1280)
  shapes |= {'predictions/kernel': (1280, 1000), 'predictions/bias': (1000,)}
  return shapes


def test_a_classifier_has_a_place_for_every_variable():
  shapes = names()
  state = {
      name: np.broadcast_to(np.float32(number), shape)
      for number, (name, shape) in enumerate(shapes.items())
  }
  backbone = backbones.build('mobilenet/v2_keras', num_classes=1000)
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  template = jax.eval_shape(backbone.init, jax.random.key(0), image)
  renaming = rules.find('keras', 'mobilenet', 'mobilenet/v2_keras')
  layout = rules.layout('keras')
  variables = torch.convert(state, renaming, template, layout)
  kernel = variables['params']['block2']['depthwise']['conv']['kernel']
  assert kernel.shape == (3, 3, 1, 96)
  assert (kernel == state['block_1_depthwise/kernel'][0, 0, 0, 0]).all()
  back = torch.export(variables, renaming, shapes, layout)
  assert set(back) == set(state)
  for name, value in back.items():
    np.testing.assert_array_equal(value, state[name])
