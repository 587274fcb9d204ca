import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import parallel
from segjax.kernels.barrier import barrier


def used_twice(x, keep):
  """A maximum, of which every number is used by two sums and a product."""
  y = keep(jnp.maximum(x, 0.5))
  return y[1:] + y[:-1], y @ y.T


def maxima(keep, options):
  """How often a compiled program has it."""
  program = jax.jit(
      lambda x: used_twice(x, keep), compiler_options=options
  ).lower(jnp.zeros((40, 40)))
  return program.compile().as_text().count(' maximum(')


def test_a_cpu_computes_it_once():
  options = parallel.compiler_options()
  assert maxima(lambda y: y, options) > 1
  assert maxima(barrier, options) == 1


@flax.struct.dataclass
class State:
  params: jax.Array


@pytest.mark.parametrize('mode', parallel.MODES)
def test_steps_are_compiled_so_that_it_is_in_force(mode):
  def step(state, batch):
    sums, products = used_twice(batch['image'] * state.params, barrier)
    return state, parallel.pmean(sums.sum() + products.sum())

  layout = parallel.Layout(mode)
  batch = layout.shard({'image': np.zeros((16, 40), np.float32)})
  compiled = layout.compile_step(step, State(jnp.ones(40)))
  text = compiled.lower(State(jnp.ones(40)), batch).compile().as_text()
  assert text.count(' maximum(') == 1


def test_values_and_gradients_are_as_without():
  x = jax.random.normal(jax.random.key(0), (6, 5))

  def total(x, keep):
    return sum(jnp.square(part).sum() for part in used_twice(x, keep))

  ours, theirs = (
      jax.value_and_grad(total)(x, keep) for keep in (barrier, lambda y: y)
  )
  jax.tree.map(np.testing.assert_allclose, ours, theirs)


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_accelerators_fuse_as_they_like(platform):
  traced = jax.jit(barrier).trace(jax.ShapeDtypeStruct((3,), jnp.float32))
  text = traced.lower(lowering_platforms=(platform,)).as_text()
  assert 'optimization_barrier' not in text
