r"""Runs a config with every combination of some of its fields.

  .venv/bin/python launch/sweep.py --config=configs/deeplabv3.py \
      --root=runs/sweep --set lr.base 0.01 0.02 --set optim.clip 0.0 1.0

trains in runs/sweep/000 to runs/sweep/003, one after another, and writes a row
for each to runs/sweep/summary.csv. The same command again goes on where it
stopped; with more values, combinations that are there keep their numbers.
"""

import argparse
import csv
import io
import itertools
import json
import shlex
import subprocess
import sys

from etils import epath

TABLE = 'sweep.json'
SUMMARY = 'summary.csv'
FLAGS = argparse.ArgumentParser(
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    epilog='What follows -- is passed on to every run.',
)
FLAGS.add_argument('--config', required=True, help='as of segjax.main')
FLAGS.add_argument('--root', required=True, help='folder of the workdirs')
FLAGS.add_argument(
    '--set',
    action='append',
    nargs='+',
    required=True,
    dest='fields',
    metavar=('FIELD', 'VALUE'),
    help='a field of the config and the values it takes; may be repeated',
)
FLAGS.add_argument(
    '--launcher',
    default='bash launch/local.sh',
    help="what runs it: 'bash launch/slurm.sh --gpus=8' (default: %(default)s)",
)
FLAGS.add_argument(
    '--summary',
    action='store_true',
    help='runs nothing, and writes the summary of what there is',
)
FLAGS.add_argument(
    '--dry_run',
    action='store_true',
    help='prints the commands, and runs and writes nothing',
)
FLAGS.add_argument('rest', nargs='*', help=argparse.SUPPRESS)


def combinations(fields):
  """Returns {field: value} for each combination of [(field, value...), ...]."""
  names = [name for name, *_ in fields]
  for name, *values in fields:
    if not values:
      raise ValueError(f'--set {name} has no values.')
    if names.count(name) > 1:
      raise ValueError(f'--set {name} is given twice: list its values once.')
  return [
      dict(zip(names, values, strict=True))
      for values in itertools.product(*(values for _, *values in fields))
  ]


def number(table, wanted):
  """Returns the table with what is wanted and not in it at its end.

  Args:
    table: list of {field: value}; the place of one is its number.
    wanted: the like.
  """
  return table + [overrides for overrides in wanted if overrides not in table]


def command(options, index, overrides):
  """Returns the words of the command that runs a combination."""
  return [
      *shlex.split(options.launcher),
      f'--config={options.config}',
      f'--workdir={workdir(options, index)}',
      *(f'--config.{name}={value}' for name, value in overrides.items()),
      *options.rest,
  ]


def workdir(options, index):
  """Returns the folder of a combination."""
  return epath.Path(options.root) / f'{index:03}'


def summarize(options, table):
  """Returns CSV with a row for each combination, scored or not yet."""
  rows = []
  for index, overrides in enumerate(table):
    row = {'run': f'{index:03}', **overrides}
    for path in sorted(workdir(options, index).glob('score-*.json')):
      row |= json.loads(path.read_text())
    rows.append(row)
  columns = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
  file = io.StringIO()
  writer = csv.DictWriter(file, columns, restval='', lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return file.getvalue()


def main(options):
  """Does what the options say; returns the exit code."""
  root = epath.Path(options.root)
  saved = root / TABLE
  table = json.loads(saved.read_text()) if saved.exists() else []
  wanted = combinations(options.fields)
  table = number(table, wanted)
  if not options.dry_run:
    root.mkdir(parents=True, exist_ok=True)
    saved.write_text(json.dumps(table, indent=2) + '\n')
  failed = []
  for overrides in wanted:
    index = table.index(overrides)
    words = command(options, index, overrides)
    if options.dry_run:
      print(shlex.join(words))
      continue
    if not options.summary and subprocess.run(words, check=False).returncode:
      failed.append(f'{index:03}')
    (root / SUMMARY).write_text(summarize(options, table))
  if not options.dry_run:
    print(f'The scores are in {root / SUMMARY}.')
  if failed:
    print(f'These runs failed: {", ".join(failed)}', file=sys.stderr)
  return 1 if failed else 0


if __name__ == '__main__':
  try:
    sys.exit(main(FLAGS.parse_args()))
  except ValueError as error:
    FLAGS.error(str(error))
