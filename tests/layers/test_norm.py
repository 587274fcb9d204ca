from flax import linen as nn
import jax
import numpy as np
import pytest

from segjax import steps
from segjax.layers.norm import batch_norm

NAMES = 'first', 'second'


class Alike(nn.Module):
  """Two norms of one shape."""

  @nn.compact
  def __call__(self, x):
    for name in NAMES:
      x = batch_norm(True, name=name)(x)
    return batch_norm(True)(x)


def test_it_computes_what_that_of_flax_does_under_the_same_names():
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5)) * 3 + 1
  variables = Alike().init(jax.random.key(1), x)
  plain = nn.Sequential(
      [nn.BatchNorm(use_running_average=False, momentum=0.9) for _ in range(3)]
  )
  names = {*NAMES, 'BatchNorm_0'}
  assert set(variables['params']) == set(variables['batch_stats']) == names
  y, stats = Alike().apply(variables, x, mutable=['batch_stats'])
  want, wanted = plain.init_with_output(jax.random.key(1), x)
  want, wanted = plain.apply(wanted, x, mutable=['batch_stats'])
  np.testing.assert_allclose(y, want, rtol=1e-6, atol=1e-6)
  for ours, theirs in zip(
      (*NAMES, 'BatchNorm_0'), sorted(wanted['batch_stats']), strict=True
  ):
    for name in ('mean', 'var'):
      np.testing.assert_allclose(
          stats['batch_stats'][ours][name],
          wanted['batch_stats'][theirs][name],
          rtol=1e-6,
          atol=1e-6,
      )


# Alike ones are traced once, but not as frozen and as free.
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
