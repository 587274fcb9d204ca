"""Weights of small networks, under the names that torchvision gives them."""

import numpy as np


def conv(name, out, into, kernel):
  return {f'{name}.weight': (out, into, kernel, kernel)}


def norm(name, width):
  leaves = ('weight', 'bias', 'running_mean', 'running_var')
  return {f'{name}.{leaf}': (width,) for leaf in leaves} | {
      f'{name}.num_batches_tracked': ()
  }


def resnet():
  """Returns {name: shape} of 'resnet/tiny'."""
  shapes = conv('conv1', 16, 3, 7) | norm('bn1', 16)
  into = 16
  for level in range(4):
    out, block = 16 << level, f'layer{level + 1}.0'
    shapes |= conv(f'{block}.conv1', out, into, 3) | norm(f'{block}.bn1', out)
    shapes |= conv(f'{block}.conv2', out, out, 3) | norm(f'{block}.bn2', out)
    if level:
      shapes |= conv(f'{block}.downsample.0', out, into, 1)
      shapes |= norm(f'{block}.downsample.1', out)
    into = out
  return shapes


def deeplabv3(num_classes, features=8):
  """Returns {name: shape} of DeepLabv3 on it, with three rates."""
  shapes = {f'backbone.{name}': shape for name, shape in resnet().items()}
  convs = 'classifier.0.convs'
  for i, kernel in enumerate((1, 3, 3, 3)):
    shapes |= conv(f'{convs}.{i}.0', features, 128, kernel)
    shapes |= norm(f'{convs}.{i}.1', features)
  shapes |= conv(f'{convs}.4.1', features, 128, 1) | norm(
      f'{convs}.4.2', features
  )
  shapes |= conv('classifier.0.project.0', features, 5 * features, 1)
  shapes |= norm('classifier.0.project.1', features)
  shapes |= conv('classifier.1', features, features, 3)
  shapes |= norm('classifier.2', features)
  shapes |= conv('classifier.4', num_classes, features, 1)
  shapes |= conv('aux_classifier.0', 16, 64, 3) | norm('aux_classifier.1', 16)
  shapes |= conv('aux_classifier.4', num_classes, 16, 1)
  return shapes | {
      'classifier.4.bias': (num_classes,),
      'aux_classifier.4.bias': (num_classes,),
  }


def state(shapes):
  """Returns {name: array} with values that a trained network might have."""
  rng = np.random.default_rng(0)
  arrays = {}
  for name, shape in shapes.items():
    fan_in = np.prod(shape[1:]) if len(shape) > 1 else 100
    values = rng.normal(size=shape) * (2 / fan_in) ** 0.5
    if name.endswith(('.running_var', '1.weight', 'bn2.weight', '2.weight')):
      values = values + 1 if len(shape) == 1 else values
    arrays[name] = np.asarray(values, np.float32)
  return arrays
