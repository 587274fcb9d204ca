import types

import jax
import jax.numpy as jnp
import pytest

from segjax.benchmark import compiled

PRODUCT = 2 * 3 * 4 * 5  # [3, 4] times [4, 5].


def gradient(matrix, x):
  unused = x @ matrix
  del unused
  return jax.grad(lambda matrix: ((x @ matrix) ** 2).sum())(matrix)


@pytest.mark.parametrize('wrap', [jax.jit, jax.pmap])
@pytest.mark.parametrize('counted', [None, {}, {'flops': -1.0}])
def test_where_xla_counts_nothing_products_are_the_flops(wrap, counted):
  matrix, x = jnp.ones((4, 5)), jnp.ones((3, 4))
  args = (matrix, x)
  if wrap is jax.pmap:
    args = (matrix[None], x[None])
  lowered = types.SimpleNamespace(cost_analysis=lambda: counted)
  forward_and_backward = 2 * PRODUCT
  assert compiled.flops(lowered, wrap(gradient), *args) == forward_and_backward


def test_flops_are_those_of_the_program_as_it_is_written():
  step, x = jax.jit(lambda x: x @ x.T), jnp.ones((3, 4))
  assert compiled.flops(step.lower(x), step, x) == 2 * 3 * 4 * 3


def test_compiling_tells_what_a_step_computes_and_holds():
  worker = compiled.CompiledWorker()
  step = jax.jit(lambda state, x: (state + x.sum(), None), donate_argnums=0)
  facts = worker.compile('sum', step, jnp.zeros(()), jnp.ones((256, 256)))
  assert facts['flops'] >= 256 * 256 - 1
  assert facts['memory'] >= 4 * 256 * 256
  assert worker.run('sum', 2)['seconds'] > 0
