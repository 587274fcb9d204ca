import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import parallel
from segjax.inference import views
from segjax.runtime import programs


def executables():
  gc.collect()
  return len(jax.local_devices()[0].client.live_executables())


def test_programs_that_were_not_used_for_longest_are_dropped():
  traced = []

  def double(x):
    traced.append(x.shape)
    return 2 * x

  def make():
    return jax.jit(lambda x: double(x))

  function = programs.Bounded(make, count=2)
  for length in (1, 2, 1, 3, 1, 2):
    np.testing.assert_array_equal(function(np.ones(length)), [2] * length)
  assert traced == [(1,), (2,), (3,), (2,)]
  assert len(function) == 2


def test_the_type_of_an_argument_and_what_it_holds_are_part_of_the_key():
  function = programs.bounded_jit(lambda tree: sum(tree.values()))
  assert function({'a': 1, 'b': 2}) == 3
  assert function({'a': 1.5, 'b': 2}) == 3.5
  assert function({'a': np.ones(2, np.float32)}).dtype == np.float32
  assert function({'a': np.ones(2, np.int32)}).dtype == np.int32
  assert len(function) == 4


@pytest.mark.parametrize('mode', parallel.MODES)
def test_forward_keeps_few_programs_and_stays_exact(mode):
  layout = parallel.Layout(mode)

  def forward(variables, batch):
    return {'logits': batch['image'] * variables + 1}

  apply = layout.compile_forward(forward)
  count = layout.groups(local=True)

  def check(sizes):
    for size in sizes:
      image = np.full((count, size, 3, 1), size, np.float32)
      logits = apply(jnp.float32(2), {'image': image})['logits']
      np.testing.assert_array_equal(logits, 2 * image + 1)

  check(range(1, programs.COUNT + 1))
  before = executables()
  check([*range(20, 20 + programs.COUNT), 1])
  assert executables() <= before


def test_prediction_of_many_sizes_keeps_few_programs():
  def forward(batch):
    return {'logits': np.concatenate([batch['image'], -batch['image']], -1)}

  def predict(sizes):
    examples = [
        {
            'image': np.ones((size, size + 1, 1), np.float32),
            'size': (size, size + 1),
        }
        for size in sizes
    ]
    found = views.predict(forward, examples, views.Inference(flip=True))
    for _, prediction in found:
      assert not prediction['labels'].any()

  predict(range(3, 3 + programs.COUNT))
  before = executables()
  predict(range(30, 30 + programs.COUNT))
  assert executables() <= before
