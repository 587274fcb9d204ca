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
