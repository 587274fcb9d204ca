"""Every config's steps lower for every platform, wherever the tests run."""

import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import experiment
from segjax import models
from segjax import parallel
from tests import tiny

PLATFORMS = 'cpu', 'cuda', 'tpu'


def export(function, *shapes):
  """Returns a jitted function as exported for all platforms.

  One export for all is stricter than one for each: every branch of
  `jax.lax.platform_dependent` has to lower for all of them, and is looked at.
  """
  exported = jax.export.export(function, platforms=PLATFORMS)(*shapes)
  # What a platform brings besides XLA, such as LAPACK on the CPU, others lack.
  calls = re.findall(r'custom_call @([\w.]+)', exported.mlir_module())
  assert not calls
  return exported


def prepare(config):
  """Returns what training needs, and the shapes of its state."""
  config.batch_size = parallel.count()
  config.dtype = 'bfloat16'  # What accelerators compute in.
  config.parallel = 'jit'  # Nothing mapped can be exported.
  setup = experiment.training(config)
  return setup, jax.eval_shape(setup.init)


@pytest.mark.slow
@pytest.mark.parametrize('name', models.names())
def test_training_and_prediction_lower(name):
  config = importlib.import_module(f'configs.{name}').get_config()
  config.dataset.options.length = 2  # Turns have images of their own.
  setup, state = prepare(config)
  export(jax.jit(setup.step), state, setup.batch)

  forward = experiment.forward(config, setup.system)
  batch = {name: setup.batch[name] for name in setup.system.reads}
  export(jax.jit(forward), state.variables, batch)


def test_step_over_a_mesh_lowers():
  config = tiny.get_config()
  setup, state = prepare(config)
  step = setup.layout.compile_step(setup.step, state)
  batch = setup.layout.shard_shapes(setup.batch)
  assert export(step, state, batch).nr_devices == parallel.count()


def eigenvalues(x):
  return jnp.linalg.eigvals(x).real


@pytest.mark.parametrize(
    'function',
    [
        eigenvalues,
        lambda x: jax.pure_callback(np.sin, x, x),
        lambda x: jax.lax.platform_dependent(
            x, cpu=eigenvalues, default=jnp.diagonal
        ),
    ],
    ids=['operation', 'callback', 'branch'],
)
def test_what_a_platform_lacks_is_found(function):
  with pytest.raises(NotImplementedError):
    export(jax.jit(function), jnp.eye(4))


def test_library_of_a_platform_is_found():
  with pytest.raises(AssertionError, match='lapack'):
    export(jax.jit(jnp.linalg.cholesky), jnp.eye(4))


def test_branches_for_platforms_lower():
  def double(x):
    return jax.lax.platform_dependent(
        x, cpu=lambda x: x + x, default=lambda x: 2 * x
    )

  export(jax.jit(jax.grad(double)), 1.0)
