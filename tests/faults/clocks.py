"""Clocks that jump, and files that somebody deletes while a run writes them."""

import shutil

from segjax.artifacts.checkpoint import Checkpoints
from tests.faults.found import Found
from tests.faults.found import last_line
from tests.faults.kills import STEPS
from tests.faults.kills import TINY
from tests.faults.kills import difference
from tests.runs import Runs

# The clock of the machine is others', too: it is set back for the run alone,
# once there is a file.
SET_BACK = """
import os, runpy, sys, time
now = time.time
time.time = lambda: now() - (86400 if os.path.exists({!r}) else 0)
sys.argv[0] = 'small_run'
runpy.run_module('tests.small_run', run_name='__main__', alter_sys=True)
"""


def set_back(folder, seed):
  """The clock is set back by a day while a run steps."""
  del seed
  found = Found()
  undisturbed = Runs(folder, TINY).finish('undisturbed')
  signal = folder / 'signal'
  program = ('-c', SET_BACK.format(str(signal)))
  runs = Runs(folder, TINY, program=program)
  (process,) = runs.stepping('run')
  signal.touch()
  wrong = (
      last_line(runs.log('run'))
      if process.wait(120)
      else difference(runs.workdir('run'), undisturbed)
  )
  lines = runs.workdir('run').metrics.read_text().splitlines()
  times = [float(line.split('"time": ')[1].split(',')[0]) for line in lines]
  jumped = min(b - a for a, b in zip(times, times[1:], strict=False)) < -80_000
  found.note(
      jumped and not wrong,
      'for the process alone: it went on to the same end',
      f'jumped: {jumped}; {wrong}',
  )
  return found


def summaries_deleted(folder, seed):
  """The folder of TensorBoard is deleted while a run writes it."""
  del seed
  found = Found()
  runs = Runs(folder, TINY, program=('-m', 'segjax.main'))
  (process,) = runs.stepping('run')
  shutil.rmtree(folder / 'run/tensorboard')
  code = process.wait(300)
  folder = runs.workdir('run').checkpoints
  steps = Checkpoints(folder, read_only=True).steps()
  found.note(
      code == 0 and steps[-1] == STEPS,
      'it went on to its end',
      f'code {code}, {steps}, {last_line(runs.log("run"))}',
  )
  return found
