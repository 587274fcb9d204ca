"""`python -m tests.endurance --minutes=30`: does a long run hold still?

A training on thumbnails of the embedded set, evaluated and saved once a minute,
or twice while nothing else takes a core. Memory, open files and threads must
not grow once it is warm, and nothing may be compiled after the first
evaluation; the exit code is 1 if so.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from segjax.artifacts.workdir import Workdir
from tests import tiny

ROOT = pathlib.Path(__file__).parent.parent
# Largest ratio of the last third to the one before.
TOLERANCE = {'memory_GB': 1.02, 'open_files': 1.0, 'threads': 1.0}


def command(workdir, **options):
  """Returns the command of a training with options of the config."""
  return [
      *(sys.executable, '-m', 'segjax.main', f'--workdir={workdir}'),
      '--config=tests/tiny.py',
      *(f'--config.{name}={value}' for name, value in options.items()),
  ]


def steps_in_half_a_minute(steps=100):
  """Returns how many there are, after a run of a few."""
  with tempfile.TemporaryDirectory() as folder:
    subprocess.run(
        command(
            folder,
            total_steps=steps,
            log_every=steps // 2,
            eval_every=steps,
            checkpoint_every=steps,
        ),
        cwd=ROOT,
        check=True,
    )
    metrics = tiny.read_metrics(Workdir(folder))
  return max(2, round(30 * metrics[steps]['speed/steps_per_second']))


def train(workdir, minutes):
  """Trains for some minutes, to be stopped by SIGTERM; returns the rows."""
  pace = steps_in_half_a_minute()
  options = dict(
      total_steps=10**6,
      eval_every=pace,
      checkpoint_every=pace,
      log_every=max(1, pace // 4),
  )
  with subprocess.Popen(command(workdir, **options), cwd=ROOT) as process:
    try:
      code = process.wait(60 * minutes)
    except subprocess.TimeoutExpired:
      process.send_signal(signal.SIGTERM)
      code = process.wait()
  if code:
    raise SystemExit(f'The training ended with exit code {code}.')
  return rows(Workdir(workdir))


def rows(workdir):
  """Returns [{'minutes', 'step', 'evaluated', name: value}, ...]."""
  metrics = tiny.read_metrics(workdir)
  first = next(iter(metrics.values()))['time']
  return [
      {
          'minutes': (values['time'] - first) / 60,
          'step': step,
          'evaluated': 'val/mIoU' in values,
          **{
              name.removeprefix('host/'): value
              for name, value in values.items()
              if name.startswith('host/')
          },
      }
      for step, values in metrics.items()
  ]


def broken(rows):
  """Returns in words what grew or was compiled when it should not have.

  The smallest values of the last third after the first evaluation are compared
  with the smallest of the third before: a start is still filling its caches,
  and a save under way has files open that it closes.
  """
  evaluated = [i for i, row in enumerate(rows) if row['evaluated']]
  # The first line after an evaluation is the first that can show its programs.
  warm = rows[evaluated[0] + 1 :] if evaluated else []
  if len(warm) < 3:
    return ['There are fewer than 3 lines after the first evaluation.']
  third = len(warm) // 3
  words = []
  for name, tolerance in TOLERANCE.items():
    middle = min(row[name] for row in warm[third:-third])
    last = min(row[name] for row in warm[-third:])
    if last > middle * tolerance:
      words.append(f'{name} grew from {middle:.4g} to {last:.4g}.')
  late = warm[-1]['compilations'] - warm[0]['compilations']
  if late:
    words.append(f'{late:.0f} programs were compiled after the evaluation.')
  return words


def table(rows):
  """Returns the rows as text, a line every minute or so."""
  shown = [*rows[: -1 : max(1, len(rows) // 40)], rows[-1]]
  head = 'minutes    step  memory_GB  open_files  threads  compilations'
  return '\n'.join(
      [head]
      + [
          '{minutes:7.1f} {step:7d} {memory_GB:10.3f} {open_files:11.0f}'
          ' {threads:8.0f} {compilations:13.0f}'.format(**row)
          for row in shown
      ]
  )


def main():
  """Trains, prints the table and what is broken; returns the exit code."""
  parser = argparse.ArgumentParser(prog='python -m tests.endurance')
  parser.add_argument('--minutes', type=float, default=30.0)
  parser.add_argument('--workdir', help='where to train; must not be there yet')
  args = parser.parse_args()
  workdir = args.workdir or tempfile.mkdtemp(prefix='endurance-')
  if os.path.exists(workdir) and os.listdir(workdir):
    parser.error(f'{workdir} is not empty; name a new folder.')
  measured = train(workdir, args.minutes)
  print(table(measured))
  words = broken(measured)
  print('\n'.join(words) or 'Nothing grew, and nothing was compiled late.')
  return 1 if words else 0


if __name__ == '__main__':
  start = time.monotonic()
  code = main()
  print(f'{(time.monotonic() - start) / 60:.1f} minutes.')
  sys.exit(code)
