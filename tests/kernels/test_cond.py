import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.kernels.cond import cond


def step(condition, state, gradient):
  return cond(
      condition,
      lambda state, gradient: {'x': state['x'] - gradient},
      lambda state, gradient: {'x': state['x'] * (0 * gradient == 0)},
      state,
      gradient,
  )


@pytest.mark.parametrize('condition', [True, False])
def test_the_condition_chooses(condition):
  x = jnp.array([1.0, 2.0])
  out = jax.jit(step)(condition, {'x': x}, jnp.array([3.0, 5.0]))
  np.testing.assert_array_equal(out['x'], x - jnp.array([3, 5]) * condition)


@pytest.mark.parametrize(
    ('platform', 'selects'), [('cpu', False), ('cuda', True), ('tpu', True)]
)
def test_a_cpu_alone_branches(platform, selects):
  x = jnp.ones(2)
  traced = jax.jit(step).trace(True, {'x': x}, x)
  text = traced.lower(lowering_platforms=(platform,)).as_text()
  assert ('stablehlo.select' in text) == selects


def test_what_a_cpu_updates_is_not_copied():
  def update(condition, params, momentum, gradient):
    def new(params, momentum, gradient):
      momentum = 0.9 * momentum + gradient + 1e-4 * params
      return params - 0.1 * momentum, momentum

    def old(params, momentum, gradient):
      del gradient
      return params, momentum

    return cond(condition, new, old, params, momentum, gradient)

  x = jnp.ones(1000)
  program = jax.jit(update, donate_argnums=(1, 2)).lower(True, x, x, x)
  assert ' copy(' not in program.compile().as_text()
