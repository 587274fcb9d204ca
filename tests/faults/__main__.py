"""Makes the faults and prints what came of them; see the package.

python -m tests.faults --only=kill,disk --seed=7 --kills=20
"""

import argparse
import functools
import os
import pathlib
import sys
import tempfile
import time
import traceback

from tests.faults import clocks
from tests.faults import data
from tests.faults import disks
from tests.faults import images
from tests.faults import kills
from tests.faults import strangers
from tests.faults.found import Found


def faults(kills_wanted):
  """Returns the faults by name: functions of a folder and a seed."""
  return {
      'kill -9 at random moments': functools.partial(
          kills.killed, times=kills_wanted
      ),
      'SIGTERM to one of two processes': kills.preempted,
      'SIGTERM during evaluation': kills.stopped_in_evaluation,
      'SIGTERM during the first compilation': kills.stopped_in_compilation,
      'kill -9 of one of two processes': kills.partner_killed,
      'newest checkpoint damaged': disks.damaged,
      'disk full while saving or logging': disks.full,
      'disk turned read-only': disks.turned_read_only,
      'images truncated, mask with wrong ids': data.damaged,
      'evaluated files damaged': data.evaluated,
      'loss not a number': data.not_a_number,
      'loader raises or hangs': data.loaders,
      'two runs in one workdir': kills.started_twice,
      'clock set back': clocks.set_back,
      'TensorBoard files deleted': clocks.summaries_deleted,
      'weights of a stranger': strangers.weights,
      'checkpoint of a stranger': strangers.checkpoints,
      'odd images': images.odd,
  }


def attempt(fault, seed):
  """Returns what came of a fault; a harness that fails is a broken promise."""
  with tempfile.TemporaryDirectory(prefix='fault-') as folder:
    try:
      return fault(pathlib.Path(folder).resolve(), seed)
    except Exception:
      found = Found()
      found.note(False, 'could not be made', traceback.format_exc())
      return found


def main():
  """Prints the table; returns the exit code, 1 if a promise is broken."""
  parser = argparse.ArgumentParser(prog='python -m tests.faults')
  parser.add_argument('--only', default='', help='words of faults, by commas')
  parser.add_argument('--seed', type=int, default=time.time_ns() % 2**32)
  parser.add_argument('--kills', type=int, default=20)
  args = parser.parse_args()
  os.environ['JAX_PLATFORMS'] = 'cpu'
  chosen = {
      name: fault
      for name, fault in faults(args.kills).items()
      if any(word in name for word in args.only.split(','))
  }
  if not chosen:
    parser.error(f'--only names none of {", ".join(faults(0))}.')
  print(f'Seed {args.seed}.')
  print('| fault | tries | kept | seen | seconds |\n|---|---|---|---|---|')
  broken = 0
  for name, fault in chosen.items():
    start = time.monotonic()
    found = attempt(fault, args.seed)
    broken += found.tries - found.kept
    print(
        f'| {name} | {found.tries} | {found.kept} | {found.words} |'
        f' {time.monotonic() - start:.0f} |',
        flush=True,
    )
  print(f'{broken} promises were broken.' if broken else 'All were kept.')
  return 1 if broken else 0


if __name__ == '__main__':
  sys.exit(main())
