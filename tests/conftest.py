"""Tests run on the CPU, as eight devices, whatever else the machine has.

A table at the end of the suite shows what takes more CPU time than it may.
"""

import collections
import os
import pathlib
import tempfile

import jax
import numpy as np
import pytest

from segjax import parallel
from segjax.data import fields

# By configuration, not by XLA_FLAGS: programs that a test starts should see
# the machine as it is.
jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', 8)
# Several steps in flight on as many devices dead-lock where cores are few.
jax.config.update('jax_cpu_enable_async_dispatch', False)
# Compiling takes most of the time of the tests, and half of that without most
# optimisations; programs that a test starts do the same. To test what XLA makes
# of the programs in full, set the variable to false.
FAST = 'JAX_DISABLE_MOST_OPTIMIZATIONS'
os.environ.setdefault(FAST, 'true')
jax.config.update('jax_disable_most_optimizations', os.environ[FAST] != 'false')
# TensorFlow, which CLU's writers import, talks about its build.
os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'


@pytest.fixture(scope='session')
def random_variables():
  """A function: variables of a model for images [B, H, W, C], none special.

  Fresh norms are zeros and ones, which would hide much of what comes before.
  """

  def draw(model, image_shape):
    reads = getattr(model, 'reads', ('image',))
    given = fields.placeholders(reads, image_shape)
    return _drawn(
        jax.eval_shape(lambda: model.init(jax.random.key(0), **given))
    )

  return draw


@pytest.fixture(scope='session')
def random_state():
  """A function: a first state with random variables, for the shapes of one.

  NumPy draws it at once; a program that does takes seconds to compile.
  """

  def draw(shapes):
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    params = _drawn(shapes.params)
    return state.replace(
        params=params,
        mutable=_drawn(shapes.mutable),
        ema=jax.tree.map(np.copy, params) if shapes.ema else {},
    )

  return draw


def _drawn(shapes):
  rng = np.random.default_rng(0)

  def values(path, x):
    # A variance is positive, also in a table of them.
    if len(x.shape) == 1 or path[-1].key == 'var':
      drawn = rng.uniform(0.5, 1.5, x.shape)
    else:
      fan_in = max(np.prod(x.shape[:-1]), 1)
      drawn = rng.normal(size=x.shape) * np.sqrt(2 / fan_in)
    return drawn.astype(x.dtype)

  return jax.tree.map_with_path(values, shapes)


@pytest.fixture
def compiled_in_full():
  """Has XLA optimise as it does for users, where a test looks at rounding."""
  name = 'jax_disable_most_optimizations'
  before = jax.config.values[name]
  jax.config.update(name, False)
  yield
  jax.config.update(name, before)


@pytest.fixture
def cheaply_compiled(monkeypatch):
  """Has XLA compile in half the time, programs that need not be fast.

  It is for tests that neither compare bits nor look at what XLA fuses.
  """
  options = {
      **parallel.compiler_options(),
      'xla_backend_optimization_level': 0,
      'xla_llvm_disable_expensive_passes': True,
      'xla_cpu_use_fusion_emitters': False,
  }
  monkeypatch.setattr(parallel, 'compiler_options', lambda: options)


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


def pytest_collection_modifyitems(items):
  """Runs the files at the top first: whole programs take longest.

  Workers take whole files, and would wait for each other at the end otherwise.
  """
  top = pathlib.Path(__file__).parent
  items.sort(key=lambda item: item.path.parent != top)


# CPU seconds, without what was compiled before. Of some files each system, a
# parameter of their tests, has a budget; of a system's own file the whole.
BUDGETS = {
    'tests/models/test_contract.py': 4,
    'tests/models/test_training.py': 15,
    'tests/parity/test_parity.py': 15,
}
BUDGET_OF_A_SYSTEM = 12
_seconds = collections.Counter()


def _cpu_seconds():
  """Returns the CPU time of this process and of those that it has awaited."""
  return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
  """Marks when a test begins."""
  item.cpu_seconds = _cpu_seconds()
  return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
  """Adds to a report what its part of a test took, also for other processes."""
  report = yield
  now = _cpu_seconds()
  report.cpu_seconds, item.cpu_seconds = now - item.cpu_seconds, now
  return report


def pytest_runtest_logreport(report):
  """Sums what tests took that share a budget."""
  path, _, test = report.nodeid.partition('::')
  system = test.partition('[')[2].removesuffix(']')
  if path in BUDGETS and system:
    _seconds[f'{path}[{system}]', BUDGETS[path]] += report.cpu_seconds
  elif path not in BUDGETS and path.startswith('tests/models/'):
    _seconds[path, BUDGET_OF_A_SYSTEM] += report.cpu_seconds


def pytest_terminal_summary(terminalreporter):
  """Lists what took more than its budget; the suite passes all the same."""
  over = [
      (seconds, budget, what)
      for (what, budget), seconds in _seconds.items()
      if seconds > budget
  ]
  if over:
    terminalreporter.section('CPU seconds over budget')
    for seconds, budget, what in sorted(over, reverse=True):
      terminalreporter.line(f'{seconds:6.1f} of {budget:3}  {what}')
