"""Numbered arrays of Lasagne become variables, and come back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.convert import rules
from segjax.convert import torch
from segjax.layers.conv import ConvTranspose


def lasagne(template, renaming):
  """Returns a state for the variables: arrays of random numbers."""
  rng = np.random.default_rng(0)
  shapes = {
      '/'.join(key.key for key in path[1:]): value.shape
      for path, value in jax.tree.leaves_with_path(template)
  }
  state = {}
  for rule in renaming:
    if isinstance(rule, tuple):
      name, path = rule
      shape = shapes[path.replace('inv_std', 'var')]
      shape = shape[:1:-1] + shape[:2] if len(shape) == 4 else shape
      state[name] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
  return state


@pytest.mark.parametrize(
    ('name', 'variant', 'count'),
    [
        # 44 layers in blocks and 5 in transitions, each of a norm with 4
        # arrays and a convolution with 2, and 7 convolutions more.
        ('fc_densenet', '56', (44 + 5) * 6 + 7 * 2),
        # Convolutions with a norm have 5 arrays, those of residuals 2.
        ('frrn', 'A', (2 + 12 + 34) * 5 + 17 * 2 + 3),
        ('frrn', 'B', (2 + 12 + 42) * 5 + 21 * 2 + 3),
    ],
)
def test_every_array_has_a_place_and_comes_back(name, variant, count):
  renaming = rules.find('lasagne', name, variant)
  fields = dict(features=4, lanes=2) if name == 'frrn' else {}
  model = models.create(name, 5, variant=variant, **fields)
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  template = jax.eval_shape(model.init, jax.random.key(0), image)
  state = lasagne(template, renaming)
  assert set(state) == {f'arr_{i}' for i in range(count)}
  variables = torch.convert(state, renaming, template)
  back = torch.export(
      variables, renaming, {name: array.shape for name, array in state.items()}
  )
  for array, value in state.items():
    np.testing.assert_allclose(back[array], value, rtol=1e-3)
  # The first convolution has the first array; FRRN's is a true convolution.
  stem = variables['params']['stem']
  kernel = stem['conv']['kernel'] if name == 'frrn' else stem['kernel']
  if name == 'frrn':
    kernel = kernel[::-1, ::-1]
  np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), state['arr_0'])


def test_a_transposed_convolution_is_the_gradient_of_a_true_one():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 3, 4))  # [C, h, w]
  weight = rng.normal(size=(2, 5, 3, 3))  # [C, features, 3, 3]
  expected = np.zeros((5, 7, 9))
  # A true convolution reads pixel 2 i + k by the weight 2 - k.
  for i, j, k, m in np.ndindex(3, 4, 3, 3):
    expected[:, 2 * i + k, 2 * j + m] += x[:, i, j] @ weight[:, :, 2 - k, 2 - m]
  renaming = rules.find('lasagne', 'fc_densenet', '56')
  number = 1 + 2 + 6 * (6 * 4) + 5 * 6 - 1
  path = dict(r for r in renaming if isinstance(r, tuple))[f'arr_{number}']
  assert path == 'transition_up0/kernel'
  chosen = (('up', 'transition_up0/kernel'), renaming[-1])
  template = {'params': {'transition_up0': {'kernel': np.zeros((3, 3, 5, 2))}}}
  variables = torch.convert({'up': weight}, chosen, template)
  y = ConvTranspose(5, 3).apply(
      {'params': variables['params']['transition_up0']},
      x.transpose(1, 2, 0)[None],
  )
  np.testing.assert_allclose(y[0].transpose(2, 0, 1), expected, atol=1e-5)
