"""A run that is killed at any moment ends as one that was left in peace."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from segjax.checkpoint import Checkpoints
from segjax.workdir import Workdir
from tests import tiny

ROOT = pathlib.Path(__file__).parent.parent
STEPS = tiny.get_config().total_steps


class Runs:
  """Starts the command in folders of its own."""

  def __init__(self, folder):
    self.folder = folder
    self._environment = os.environ | {'JAX_PLATFORMS': 'cpu'}

  def start(self, name):
    """Returns the process of a run that works in the folder `name`."""
    with open(self.folder / f'{name}.log', 'a') as log:
      return subprocess.Popen(
          [
              *(sys.executable, '-m', 'segjax.main', '--config=tests/tiny.py'),
              f'--workdir={self.folder / name}',
          ],
          cwd=ROOT,
          env=self._environment,
          stderr=log,
      )

  def finish(self, name):
    """Lets a run go on to its end and returns its workdir."""
    assert self.start(name).wait() == 0, self.log(name)
    return Workdir(self.folder / name)

  def log(self, name):
    return (self.folder / f'{name}.log').read_text()


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  return Runs(tmp_path_factory.mktemp('runs'))


@pytest.fixture(scope='module')
def undisturbed(runs):
  return runs.finish('undisturbed')


def last_line(workdir):
  """The newest step in the summaries, and whether it has been evaluated."""
  try:
    metrics = tiny.read_metrics(workdir)
  except FileNotFoundError:  # A start without a checkpoint begins them anew.
    return 0, False
  step = max(metrics, default=0)
  return step, 'val/mIoU' in metrics.get(step, {})


def is_starting(workdir, since):
  del workdir, since
  return True


def is_stepping(workdir, since):
  return last_line(workdir)[0] > since


def is_evaluating(workdir, since):
  step, evaluated = last_line(workdir)
  return step > since and step % 6 == 0 and not evaluated


def is_saving(workdir, since):
  del since
  return any(workdir.checkpoints.glob('*tmp*'))


def wait_until(moment, process, workdir):
  """Returns when it is the moment, or when the process has ended."""
  since = last_line(workdir)[0]
  while process.poll() is None and not moment(workdir, since):
    time.sleep(0.001)


def assert_same_end(workdir, other):
  """Parameters, optimiser, statistics, average, summaries, pictures."""
  ends = [Checkpoints(w.checkpoints, read_only=True) for w in (workdir, other)]
  assert ends[0].steps() == ends[1].steps()
  for step in ends[0].steps():
    one, two = (end.read(step) for end in ends)
    jax.tree.map(np.testing.assert_array_equal, one, two)
  one, two = map(exact_metrics, (workdir, other))
  assert one == two
  for path in pathlib.Path(workdir.pictures).rglob('*.png'):
    same = other.pictures / path.relative_to(workdir.pictures)
    assert path.read_bytes() == same.read_bytes()


def exact_metrics(workdir):
  """The summaries without what depends on the clock."""
  return {
      (step, name): value
      for step, values in tiny.read_metrics(workdir).items()
      for name, value in values.items()
      if name not in ('time', 'val/images_per_second')
      and not name.startswith(('speed/', 'host/'))
  }


def test_a_run_killed_again_and_again_ends_as_if_undisturbed(runs, undisturbed):
  seed = time.time_ns() % 2**32
  print('seed', seed)  # Shown if the test fails.
  rng = random.Random(seed)
  moments = [is_starting, is_stepping, is_saving, is_evaluating]
  rng.shuffle(moments)
  workdir = Workdir(runs.folder / 'killed')
  kills = []
  for moment in moments:
    process = runs.start('killed')
    wait_until(moment, process, workdir)
    time.sleep(rng.uniform(0, 5 if moment is is_starting else 0.05))
    process.kill()
    if process.wait() == -signal.SIGKILL:
      kills.append(moment.__name__)
    print(kills, last_line(workdir))
  assert len(kills) > 1, runs.log('killed')
  assert_same_end(runs.finish('killed'), undisturbed)
  names = {path.name for path in workdir.checkpoints.iterdir()}
  assert names == {path.name for path in undisturbed.checkpoints.iterdir()}


def test_a_run_that_gets_sigterm_saves_and_goes_on_later(runs, undisturbed):
  process = runs.start('stopped')
  workdir = Workdir(runs.folder / 'stopped')
  wait_until(is_stepping, process, workdir)
  process.send_signal(signal.SIGTERM)
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
