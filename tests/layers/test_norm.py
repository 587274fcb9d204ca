import functools

from flax import linen as nn
import jax
import numpy as np
import pytest

from segjax import steps
from segjax.layers.norm import BatchNorm

NAMES = 'first', 'second'


class Alike(nn.Module):
  """Two norms of one shape."""

  @nn.compact
  def __call__(self, x):
    for name in NAMES:
      x = BatchNorm(True, name=name)(x)
    return x


def test_its_variables_are_those_of_flax():
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5)) * 3 + 1
  flax = nn.BatchNorm(use_running_average=False, momentum=0.9)
  variables = flax.init(jax.random.key(1), x)
  _, want = flax.apply(variables, x, mutable=['batch_stats'])
  ours = BatchNorm(True)
  jax.tree.map(
      np.testing.assert_array_equal,
      ours.init(jax.random.key(1), x),
      variables,
  )
  _, got = ours.apply(variables, x, mutable=['batch_stats'])
  close = functools.partial(np.testing.assert_allclose, rtol=1e-6)
  jax.tree.map(close, got, want)


@pytest.mark.parametrize('frozen', NAMES)
def test_one_of_two_alike_is_frozen(frozen):
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5)) * 3 + 1
  variables = Alike().init(jax.random.key(1), x)
  with steps.freeze_norms(lambda path: path.startswith(f'{frozen}/')):
    _, stats = jax.jit(
        lambda v, x: Alike().apply(v, x, mutable=['batch_stats'])
    )(variables, x)
  for name in NAMES:
    before, after = variables['batch_stats'][name], stats['batch_stats'][name]
    kept = np.array_equal(before['var'], after['var'])
    assert kept == (name == frozen)


class Theirs(nn.Module):
  """A model with a norm of Flax's."""

  @nn.compact
  def __call__(self, x):
    return nn.BatchNorm(use_running_average=False, name='norm')(x)


def test_a_norm_of_flax_is_not_frozen_silently():
  x = np.ones((2, 3, 4, 5), np.float32)
  variables = Theirs().init(jax.random.key(0), x)

  def run(frozen):
    with steps.freeze_norms(lambda path: path.startswith(frozen)):
      return Theirs().apply(variables, x, mutable=['batch_stats'])

  run('another/')
  with pytest.raises(ValueError, match='norm is to be frozen'):
    run('norm/')
