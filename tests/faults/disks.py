"""Disks that fill up or turn read-only, and checkpoints that they damage."""

import contextlib
import logging
import os
import random
import resource
import shutil
import subprocess
import time

import jax
import numpy as np

from segjax.artifacts.checkpoint import Checkpoints
from tests.faults.found import Found
from tests.faults.found import last_line
from tests.faults.kills import TINY
from tests.faults.kills import difference
from tests.runs import Runs

# A checkpoint every three steps, and one evaluation at the end.
FLAGS = (TINY, '--config.log_every=1', '--config.eval_every=12')
# By what there is no room for: bytes that are left, and flags. Some lines fit
# into 16 kB, a checkpoint does not. The last page of a file takes a few lines
# on a full disk, but not all those between two checkpoints of a longer run.
FULL = {
    'checkpoint': (16_384, ()),
    'metrics.jsonl': (
        0,
        (
            '--config.total_steps=36',
            '--config.eval_every=36',
            '--config.checkpoint_every=18',
        ),
    ),
}


def mount(*arguments):
  """Tells whether it could be mounted."""
  command = ['mount', *map(str, arguments)]
  return subprocess.run(command, capture_output=True).returncode == 0


@contextlib.contextmanager
def small_disk(folder):
  """Yields whether a file system of 16 MB could be mounted in a new folder."""
  folder.mkdir()
  mounted = mount('-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', folder)
  try:
    yield mounted
  finally:
    if mounted:
      subprocess.run(['umount', '-l', folder], check=True)


@contextlib.contextmanager
def read_only(folder):
  """Turns a folder read-only for whoever names it; yields how, or ''."""
  if mount('--bind', folder, folder):
    try:
      done = mount('-o', 'remount,bind,ro', folder)
      yield 'mounted read-only' if done else ''
    finally:
      subprocess.run(['umount', '-l', folder], check=True)
  elif os.geteuid():  # Permissions hold for all but root.
    paths = [folder, *(path for path in folder.rglob('*') if path.is_dir())]
    for path in paths:
      path.chmod(0o500)
    try:
      yield 'by chmod, since nothing can be mounted'
    finally:
      for path in paths:
        path.chmod(0o700)
  else:
    yield ''


def fill(folder, left):
  """Fills a file system up to `left` bytes; returns the file that does."""
  ballast = folder / 'ballast'
  free = os.statvfs(folder)
  with open(ballast, 'wb') as file:
    file.write(bytes(max(free.f_bavail * free.f_frsize - left, 0)))
  return ballast


def saved_once(runs, name, *flags):
  """Returns the process of a run of slow steps that has a checkpoint."""
  (process,) = runs.stepping(name, 1, *flags, seconds=0.3)
  folder = runs.workdir(name).checkpoints
  while not any(path.name.isdigit() for path in folder.glob('*')):
    assert process.poll() is None, runs.log(name)
    time.sleep(0.01)
  return process


def wrong_end(runs, name, process):
  """Returns '' if a run ends with the reason and a readable checkpoint."""
  code, said = process.wait(120), last_line(runs.log(name))
  checkpoints = Checkpoints(runs.workdir(name).checkpoints, read_only=True)
  try:
    checkpoints.read(checkpoints.steps()[-1])
  except Exception as error:
    return f'the last checkpoint cannot be read: {error}'
  written = 'could not be written' in said or 'cannot be written' in said
  if code == 1 and said.startswith('segjax: ') and written:
    return ''
  return f'code {code}, {said!r}'


def wrong_continuation(runs, name, undisturbed):
  """Returns '' if a run goes on to the end of one left in peace."""
  (process,) = runs.start(name)
  if process.wait(300):
    return last_line(runs.log(name))
  return difference(runs.workdir(name), undisturbed)


def full(folder, seed):
  """A disk fills up while a checkpoint is saved, and while a line is logged."""
  del seed
  found = Found()
  for file, (left, flags) in FULL.items():
    name = f'no room for {file}'
    runs = Runs(folder, *FLAGS, *flags)
    undisturbed = runs.finish(f'room for {file}')
    with small_disk(folder / name) as mounted:
      if not mounted:
        return limited(runs, undisturbed)
      process = saved_once(runs, name)
      ballast = fill(folder / name, left)
      wrong = wrong_end(runs, name, process)
      said = last_line(runs.log(name))
      if not wrong and f'{file} c' not in said:  # Cannot, or could not be.
        wrong = f'it was not {file} that failed: {said!r}'
      ballast.unlink()
      wrong = wrong or wrong_continuation(runs, name, undisturbed)
      seen = f'no room for {file}: ended with the reason, then went on'
      found.note(not wrong, seen, wrong)
  return found


def limited(runs, undisturbed):
  """Where nothing can be mounted: no file grows beyond a size."""
  found = Found()
  files = (p for p in undisturbed.checkpoints.rglob('*') if p.is_file())
  size = max(path.stat().length for path in files) - 1
  limit = size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
  (process,) = runs.start(
      'limited',
      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
  )
  code = process.wait(120)
  wrong = wrong_continuation(runs, 'limited', undisturbed)
  found.note(
      code and not wrong,
      'by RLIMIT_FSIZE, since nothing can be mounted: ended, then went on',
      f'code {code}, {wrong}',
  )
  return found


def turned_read_only(folder, seed):
  """The workdir turns read-only while a run steps, and at its start."""
  del seed
  found = Found()
  runs = Runs(folder, *FLAGS)
  undisturbed = runs.finish('undisturbed')
  process = saved_once(runs, 'run')
  with read_only(folder / 'run') as how:
    if not how:
      process.kill()
      process.wait()
      found.seen['not made: root, and nothing can be mounted'] += 1
      return found
    wrong = wrong_end(runs, 'run', process)
    again = wrong_end(runs, 'run', *runs.start('run'))
    found.note(not again, 'a start ended with the reason', again)
  wrong = wrong or wrong_continuation(runs, 'run', undisturbed)
  found.note(not wrong, f'{how}: ended with the reason, then went on', wrong)
  return found


def cut(data, rng):
  return data[: rng.randrange(len(data))]


def emptied(data, rng):
  del data, rng
  return b''


def flipped(data, rng):
  place = rng.randrange(len(data))
  byte = data[place] ^ 1 << rng.randrange(8)
  return data[:place] + bytes([byte]) + data[place + 1 :]


class Heard(logging.Handler):
  """Keeps what is logged."""

  def __init__(self):
    super().__init__()
    self.text = ''

  def emit(self, record):
    self.text += record.getMessage() + '\n'


@contextlib.contextmanager
def hearing():
  """Yields what segjax logs meanwhile."""
  heard, logger = Heard(), logging.getLogger('absl')
  logger.addHandler(heard)
  logger.propagate = False
  try:
    yield heard
  finally:
    logger.propagate = True
    logger.removeHandler(heard)


def same(one, other):
  """Tells whether two states are the same bit for bit."""
  try:
    jax.tree.map(np.testing.assert_array_equal, one, other)
  except (AssertionError, ValueError):
    return False
  return True


def write_checkpoints(folder, rng):
  """Saves two steps of a state of some 100 kB; returns the states."""
  checkpoints = Checkpoints(folder)
  states = {}
  for step in (1, 2):
    kernel = rng.normal(size=(3, 3, 50, 60)).astype(np.float32)
    states[step] = {'step': np.int32(step), 'params': {'kernel': kernel}}
    checkpoints.save(step, states[step], {'mIoU': step / 7})
  checkpoints.close()
  return states


def damaged(folder, seed, times=20):
  """A file of the newest checkpoint is cut or emptied, or a bit is flipped.

  The larger a file, the likelier it is the one. The fault is found, or nothing
  was lost.
  """
  rng = random.Random(seed)
  found = Found()
  whole, spoilt = folder / 'whole', folder / 'spoilt'
  with hearing():
    states = write_checkpoints(whole, np.random.default_rng(seed))
  for spoil in (cut, emptied, flipped):
    for _ in range(times):
      shutil.copytree(whole, spoilt)
      paths = [p for p in sorted((spoilt / '2').rglob('*')) if p.is_file()]
      sizes = [path.stat().st_size for path in paths]
      (path,) = rng.choices(paths, sizes)
      path.write_bytes(spoil(path.read_bytes(), rng))
      with hearing() as heard:
        checkpoints = Checkpoints(spoilt)
        restored = checkpoints.restore(states[2])
        scores = checkpoints.scores(2)
        checkpoints.close()
      if f'{spoilt}/2 cannot be read' in heard.text:
        kept, seen = same(restored, states[1]), 'found'
      else:
        kept = same(restored, states[2]) and scores == {'mIoU': 2 / 7}
        seen = 'nothing was lost'
      found.note(
          kept, f'{spoil.__name__}: {seen}', f'{path.name}; {heard.text}'
      )
      shutil.rmtree(spoilt)
  return found
