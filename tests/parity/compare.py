"""Computes a case and says how far it is from its fixture."""

import functools
import re

import jax
import numpy as np

from segjax.convert import torch
from tests.parity import reference
from tests.parity.case import FunctionCase


def compute(case, spec, given):
  """Returns {name: array} as the fixture names them; 'train_' in train mode.

  Args:
    case: `Case` or `FunctionCase`.
    spec: of the fixture.
    given: {name: array}, inputs that the fixture has itself.
  """
  if isinstance(case, FunctionCase):
    given = {name.removeprefix('in_'): array for name, array in given.items()}
    return {
        name: np.asarray(function(given))
        for name, function in case.outputs.items()
    }
  model, image = case.build(spec), reference.image(spec)
  inputs = (image, *case.inputs(image, given))
  template = jax.eval_shape(model.init, jax.random.key(0), *inputs)
  state, layout = _original(spec)
  variables = torch.convert(state, case.rules, template, layout)
  computed = {}
  for train, prefix in ((False, ''), (True, 'train_')):
    if not any(n.startswith('train_') == train for n in spec['outputs']):
      continue
    forward = functools.partial(
        model.apply,
        train=train,
        mutable=[*(variables.keys() - {'params'}), 'intermediates'],
        capture_intermediates=(
            lambda module, _: '/'.join(module.path) in case.parts
        ),
    )
    arguments = (variables, *inputs)
    if case.float64:
      arguments = jax.tree.map(np.float64, arguments)
    with jax.enable_x64(case.float64):
      out, collections = jax.jit(forward)(*arguments)
    captured = collections.get('intermediates', {})
    parts = {path: _inside(captured, path) for path in case.parts}
    parts['image'] = image
    for name, find in case.outputs.items():
      if f'{prefix}{name}' in spec['outputs']:
        computed[f'{prefix}{name}'] = np.asarray(find(out, parts))
  return computed


def tolerance(spec, name):
  """Allowed difference, in standard deviations of the original's output."""
  if name.startswith('train_'):  # Batch statistics of few pixels amplify noise.
    return max(1e-2, 20 * float32_error(spec, name))
  return 1e-3


def error(ours, theirs):
  """Returns the largest difference, in standard deviations of the original's.

  A single number is compared with itself.
  """
  scale = theirs.std() if theirs.size > 1 else abs(theirs)
  return np.abs(ours - theirs).max() / scale


def float32_error(spec, name):
  """How far the original in float32 is from itself in float64.

  Some specs have it in a table and some in words: 'logits 3e-06, aux_0 2e-06'.
  """
  if 'float32_error' in spec:
    return spec['float32_error'][name]
  match = re.search(rf'\b{name} (\d[\d.]*e-\d+)', spec['notes'])
  return float(match[1]) if match else 0.0


def _original(spec):
  """Returns (state, layout) under the names that the original itself has.

  `keras_names` has [name in the fixture, name in Keras, axes], where the
  tensor of the fixture is Keras' with these axes.
  """
  state = reference.state(spec)
  if 'keras_names' not in spec:
    return state, 'torch'
  return {
      keras: state[name].transpose(None if axes is None else np.argsort(axes))
      for name, keras, axes in spec['keras_names']
  }, 'keras'


def _inside(tree, path):
  """What a part has returned; a tuple if it was called more than once."""
  for key in path.split('/'):
    tree = tree[key]
  returned = tree['__call__']
  return returned if len(returned) > 1 else returned[0]
