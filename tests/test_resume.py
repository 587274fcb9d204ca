"""A run that is killed at any moment ends as one that was left in peace."""

import random
import time

import jax
import numpy as np
import pytest

from segjax.artifacts.checkpoint import Checkpoints
from tests.faults import kills
from tests.faults.kills import STEPS
from tests.runs import Runs


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs')
  return Runs(folder, kills.TINY, program=('-m', 'segjax.main'))


@pytest.fixture(scope='module')
def undisturbed(runs):
  return runs.finish('undisturbed')


def test_a_run_killed_again_and_again_ends_as_if_undisturbed(runs, undisturbed):
  seed = time.time_ns() % 2**32
  print('seed', seed)  # Shown if the test fails.
  rng = random.Random(seed)
  workdir = runs.workdir('killed')
  killed = []
  for moment in rng.sample(kills.MOMENTS, len(kills.MOMENTS)):
    (process,) = runs.start('killed')
    if kills.kill_at(moment, process, workdir, rng):
      killed.append(moment.__name__)
    print(killed, kills.newest(workdir))
  assert len(killed) > 1, runs.log('killed')
  kills.assert_same_end(runs.finish('killed'), undisturbed)
  names = {path.name for path in workdir.checkpoints.iterdir()}
  assert names == {path.name for path in undisturbed.checkpoints.iterdir()}


def test_a_run_that_gets_sigterm_saves_and_goes_on_later(runs, undisturbed):
  (process,) = runs.start('stopped')
  workdir = runs.workdir('stopped')
  kills.wait_until(kills.is_stepping, process, workdir)
  process.terminate()
  assert process.wait() == 0
  (step,) = Checkpoints(workdir.checkpoints, read_only=True).steps()[-1:]
  assert 0 < step < STEPS
  assert f'Stopped by SIGTERM; step {step} is saved.' in runs.log('stopped')

  runs.finish('stopped')
  assert f'Going on from step {step}' in runs.log('stopped')
  one, two = (
      Checkpoints(w.checkpoints, read_only=True).read(STEPS)
      for w in (workdir, undisturbed)
  )
  jax.tree.map(np.testing.assert_array_equal, one, two)
