"""The way there and back of both code lines' weights."""

import functools
import math

import jax
import numpy as np
import pytest

from segjax.convert import torch
from tests.parity import reference
from tests.parity.sources.panoptic_deeplab import CASES
from tests.parity.test_parity import FOLDER


def numbered(number, shape):
  """Returns a tensor that no other equals, without memory of its own."""
  line = np.arange(math.prod(shape[:1]), dtype=np.float32) + 10_000 * number
  return np.broadcast_to(line.reshape(-1, *[1] * (len(shape) - 1)), shape)


@pytest.mark.parametrize('name', CASES)
def test_every_tensor_comes_back_from_where_it_went(name):
  spec, _, _ = reference.load(FOLDER / f'{name}.npz')
  shapes = {name: tuple(shape) for name, shape in spec['state']}
  state = {
      name: numbered(i, shape) if shape else np.zeros((), np.int64)
      for i, (name, shape) in enumerate(shapes.items())
  }
  case = CASES[name]
  model, image = case.build(spec), np.zeros((1, 65, 65, 3), np.float32)
  template = jax.eval_shape(
      functools.partial(model.init, jax.random.key(0)), image
  )
  variables = torch.convert(state, case.rules, template)
  back = torch.export(variables, case.rules, shapes)
  kept = {name for name in shapes if 'num_batches_tracked' not in name}
  assert set(back) == kept
  for name in kept:
    np.testing.assert_array_equal(back[name], state[name], name)
