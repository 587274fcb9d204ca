"""Tests run on the CPU, as eight devices, whatever else the machine has."""

import os
import pathlib
import tempfile

import jax
import numpy as np
import pytest

from segjax.data import fields

# By configuration, not by XLA_FLAGS: programs that a test starts should see
# the machine as it is.
jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', 8)
# Several steps in flight on as many devices dead-lock where cores are few.
jax.config.update('jax_cpu_enable_async_dispatch', False)
# TensorFlow, which CLU's writers import, talks about its build.
os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'


@pytest.fixture(scope='session')
def random_variables():
  """A function: variables of a model for images [B, H, W, C], none special.

  Fresh norms are zeros and ones, which would hide much of what comes before.
  """

  def draw(model, image_shape):
    rng = np.random.default_rng(0)

    def values(x):
      if len(x.shape) == 1:
        drawn = rng.uniform(0.5, 1.5, x.shape)
      else:
        fan_in = np.prod(x.shape[:-1])
        drawn = rng.normal(size=x.shape) * np.sqrt(2 / fan_in)
      return drawn.astype(x.dtype)

    reads = getattr(model, 'reads', ('image',))
    given = fields.placeholders(reads, image_shape)
    return jax.tree.map(
        values, jax.eval_shape(model.init, jax.random.key(0), *given.values())
    )

  return draw


# What one test compiles, the others find; so do the programs that tests start.
CACHE = pathlib.Path(tempfile.gettempdir()) / f'segjax-tests-{os.getuid()}'
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(CACHE)
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
jax.config.update('jax_compilation_cache_dir', str(CACHE))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


@pytest.fixture(autouse=True, scope='module')
def no_programs_of_other_files():
  """Drops what a file has compiled: all of it together fills the memory."""
  yield
  jax.clear_caches()
