"""Processes that are killed or told to stop, and runs that meet in a folder."""

import os
import pathlib
import random
import re
import signal
import time

import jax
import numpy as np

from segjax.artifacts.checkpoint import Checkpoints
from tests import tiny
from tests.faults.found import Found
from tests.faults.found import last_line
from tests.runs import Runs

TINY = '--config=tests/tiny.py'
STEPS = tiny.get_config().total_steps


def is_starting(workdir, since):
  del workdir, since
  return True


def is_stepping(workdir, since):
  return newest(workdir)[0] > since


def is_evaluating(workdir, since):
  step, evaluated = newest(workdir)
  return step > since and step % 6 == 0 and not evaluated


def is_saving(workdir, since):
  del since
  return any(workdir.checkpoints.glob('*tmp*'))


MOMENTS = (is_starting, is_stepping, is_saving, is_evaluating)


def newest(workdir):
  """The newest step in the summaries, and whether it has been evaluated."""
  try:
    metrics = tiny.read_metrics(workdir)
  except FileNotFoundError:  # A start without a checkpoint begins them anew.
    return 0, False
  step = max(metrics, default=0)
  return step, 'val/mIoU' in metrics.get(step, {})


def wait_until(moment, process, workdir):
  """Returns when it is the moment, or when the process has ended."""
  since = newest(workdir)[0]
  while process.poll() is None and not moment(workdir, since):
    time.sleep(0.001)


def kill_at(moment, process, workdir, rng, start_seconds=5):
  """Kills a process shortly after a moment; tells whether it still ran."""
  wait_until(moment, process, workdir)
  time.sleep(rng.uniform(0, start_seconds if moment is is_starting else 0.05))
  process.kill()
  return process.wait() == -signal.SIGKILL


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


def difference(workdir, other):
  """Returns in words how the end of a run differs from another's, or ''."""
  try:
    assert_same_end(workdir, other)
  except AssertionError as error:
    return str(error)
  return ''


def killed(folder, seed, times=20):
  """kill -9 at random moments: the end is that of a run left in peace."""
  rng = random.Random(seed)
  runs = Runs(folder, TINY)
  undisturbed = runs.finish('undisturbed')
  found = Found()
  made, moments = 0, []  # All kills, and those of the present run.
  while made < times or moments:
    name = f'killed {made - len(moments)}'
    enough = made >= times
    (process,) = runs.start(name, seconds=0 if enough else 0.05)
    moment = rng.choice(MOMENTS)
    if enough:
      process.wait(300)
    elif kill_at(moment, process, runs.workdir(name), rng, start_seconds=4):
      moments.append(moment.__name__.removeprefix('is_'))
      made += 1
      continue
    # It has come to its end.
    wrong = (
        last_line(runs.log(name))
        if process.returncode
        else difference(runs.workdir(name), undisturbed)
    )
    for words in moments:
      found.note(not wrong, f'while {words}', wrong)
    moments = []
  return found


def preempted(folder, seed):
  """SIGTERM at one of two processes: both save one step, end, and go on."""
  del seed
  runs = Runs(folder, TINY)
  found = Found()
  for i in range(2):
    name = f'stopped {i}'
    started = runs.stepping(name, 2)
    started[i].send_signal(signal.SIGTERM)
    codes = [process.wait(120) for process in started]
    steps = re.findall(r'SIGTERM; step (\d+) is', runs.log(name))
    saved = Checkpoints(runs.workdir(name).checkpoints, read_only=True).steps()
    good = codes == [0, 0] and [str(saved[-1])] == steps
    if good:
      runs.finish(name, 2)
      good = f'Going on from step {steps[0]}' in runs.log(name)
    found.note(
        good,
        'both ended with 0 at one step, and went on from it',
        f'codes {codes}, said {steps}, saved {saved}',
    )
  return found


def stopped_in_evaluation(folder, seed):
  """SIGTERM while a step is evaluated: it is saved, and the end is the same."""
  del seed
  runs = Runs(folder, TINY)
  undisturbed = runs.finish('undisturbed')
  found = Found()
  for processes in (1, 2):
    name = f'stopped of {processes}'
    started = runs.start(name, processes, seconds=0.1)
    workdir = runs.workdir(name)
    while started[-1].poll() is None and newest(workdir) != (6, False):
      time.sleep(0.001)
    started[-1].terminate()
    codes = [process.wait(60) for process in started]
    log = runs.log(name)
    saved = Checkpoints(workdir.checkpoints, read_only=True)
    found.note(
        not any(codes) and 'SIGTERM; step ' in log and saved.steps()[-1] >= 6,
        f'{processes} saved and ended',
        f'codes {codes}, saved {saved.steps()}, {last_line(log)}',
    )
    in_evaluation = newest(workdir) == (6, False)
    runs.finish(name)
    wrong = difference(workdir, undisturbed)
    # A stop within a step's interval writes a line more.
    found.note(not wrong or not in_evaluation, 'ended as if not', wrong)
  return found


def stopped_in_compilation(folder, seed):
  """SIGTERM while the first step is compiled: the program ends at once."""
  del seed
  # Compiled for the first time, by a program with a net that takes long.
  flag = '--config=configs/hrnet.py:shapes'
  runs = Runs(folder, flag, program=('-m', 'segjax.main'))
  before = os.environ.get('JAX_COMPILATION_CACHE_DIR')
  os.environ['JAX_COMPILATION_CACHE_DIR'] = str(folder / 'compiled')
  try:
    (process,) = runs.start('run')
  finally:
    os.environ.pop('JAX_COMPILATION_CACHE_DIR')
    if before:
      os.environ['JAX_COMPILATION_CACHE_DIR'] = before
  while process.poll() is None and 'Parameters:' not in runs.log('run'):
    time.sleep(0.1)
  time.sleep(5)
  start = time.monotonic()
  process.terminate()
  code = process.wait(300)
  seconds = time.monotonic() - start
  log = runs.log('run')
  found = Found()
  found.note(
      code == 0 and seconds < 3 and 'no step was taken' in log,
      'ended at once',
      f'code {code} after {seconds:.1f} s, {last_line(log)}',
  )
  return found


def partner_killed(folder, seed):
  """kill -9 at one of two: the other ends in words, and both go on."""
  del seed
  runs = Runs(folder, TINY)
  found = Found()
  for i in range(2):
    name = f'left alone {i}'
    started = runs.stepping(name, 2)
    started[i].kill()
    start = time.monotonic()
    code = started[1 - i].wait(120)
    seconds = time.monotonic() - start
    log = runs.log(name, 1 - i)
    said = re.search('lost contact with another|another task died', log)
    runs.finish(name, 2)
    steps = Checkpoints(runs.workdir(name).checkpoints, read_only=True).steps()
    found.note(
        code and said and seconds < 60 and steps[-1] == STEPS,
        f'the other ended after {seconds:.0f} s, {said and said[0]!r}',
        f'code {code} after {seconds:.0f} s, {last_line(log)}, {steps}',
    )
  return found


def started_twice(folder, seed):
  """A second run in one workdir: it refuses, and the first goes on."""
  del seed
  runs = Runs(folder, TINY)
  found = Found()
  (first,) = runs.stepping('shared', seconds=1)
  (second,) = runs.start('shared')
  code = second.wait(120)
  log = runs.log('shared')
  refused = code == 1 and 'segjax: Another run (process' in log
  found.note(refused, 'refused while the first steps', f'{code}, {log[-300:]}')
  found.note(first.wait(120) == 0, 'the first ended well', log[-300:])
  pair = [runs.start('new')[0], runs.start('new')[0]]
  codes = sorted(process.wait(300) for process in pair)
  found.note(codes == [0, 1], 'of two started at once, one trains', f'{codes}')
  return found
