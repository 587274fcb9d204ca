"""Weights and images that are functions of their names.

Whoever computed a fixture filled the original by this rule; filled by it too,
a model of ours has to return the same. So a fixture needs no weights, only the
names and shapes of the original's tensors. Every value here is part of the
definition: the generators, the order of the draws and of the products.
"""

import json
import re
import zlib

import numpy as np


def generator(text):
  return np.random.default_rng(zlib.crc32(text.encode()))


def tensor(name, shape, salt='public', gain=1.0):
  """Returns the value of the tensor that the original calls `name`."""
  rng = generator(f'{salt}:{name}')
  leaf = name.rpartition('.')[-1]
  if leaf == 'num_batches_tracked':
    return np.zeros(shape, np.int64)
  if leaf == 'running_var':
    value = rng.uniform(0.5, 1.5, shape)
  elif leaf == 'running_mean':
    value = rng.standard_normal(shape) * 0.1
  elif len(shape) >= 2:
    fan_in = max(1, int(np.prod(shape)) // shape[0])
    value = rng.standard_normal(shape) * gain * np.sqrt(2.0 / fan_in)
  elif leaf in ('weight', 'gamma', 'scale'):
    value = rng.uniform(0.6, 1.2, shape)
  else:
    value = rng.standard_normal(shape) * 0.1
  return np.asarray(value, np.float32)


def state(spec):
  """Returns all tensors of the original, {name: array}."""
  salt, gain = spec['input']['salt'], spec.get('gain', 1.0)
  return {
      name: tensor(name, shape, salt, gain) for name, shape in spec['state']
  }


def image(spec):
  """Returns the image, [B, H, W, C]."""
  rng = generator(f'{spec["input"]["salt"]}:image')
  return rng.standard_normal(spec['input']['shape']).astype(np.float32)


def labels(spec, shape, num_classes):
  """Returns labels of a shape; one pixel in twenty is ignored, 255."""
  rng = generator(f'{spec["input"]["salt"]}:labels')
  drawn = rng.integers(0, num_classes, shape).astype(np.int32)
  drawn[rng.random(shape) < 0.05] = 255
  return drawn


def sample(name, output, count=1024):
  """Returns the values of an output at `count` positions, or all if fewer."""
  rng = generator(f'{name}:positions')
  size = np.size(output)
  return np.ravel(output)[rng.permutation(size)[:count]]


def pop_inputs(outputs):
  """Takes out of {name: array} what the original read beside the image.

  The name of an input begins with 'in_', or with a letter for one of several
  cases, as 'a_in_x'.
  """
  names = [name for name in outputs if re.match('(?:[a-z]_)?in_', name)]
  return {name: outputs.pop(name) for name in names}


def load(path):
  """Returns (spec, {name: input}, {name: sampled output}) of a fixture."""
  with np.load(path) as file:
    outputs = dict(file)
  spec = json.loads(str(outputs.pop('spec')))
  return spec, pop_inputs(outputs), outputs
