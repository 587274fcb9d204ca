r"""Prints mean and standard deviation of scores over the folds of a split.

  for i in 1 2 3 4 5; do
    python -m segjax.main --config=configs/unet.py:folder \
        --workdir=runs/fold-$i --config.dataset.fold=$i/5
  done
  python -m segjax.tools.summary runs/fold-*

The runs have one config but for the fold; runs without folds that differ in the
seed alone are summed up as well. Scores are those of the last step, which no
held-out fold has chosen. The standard deviation is that of a sample, with n - 1
in the denominator.
"""

from collections.abc import Sequence
import math
import os
import pathlib
import statistics

from absl import app
from absl import logging

from segjax.artifacts import workdir as workdirs
from segjax.data import folds
from segjax.runtime import terminal
from segjax.tools import results


def read(paths: Sequence[str | os.PathLike]) -> dict[str, dict[str, float]]:
  """Returns the scores of finished runs, {fold or seed: {name: score}}.

  A score is None where no pixel decides it, as the IoU of an absent class.

  Args:
    paths: workdirs.

  Raises:
    FileNotFoundError: one is no workdir.
    ValueError: a run is not finished, two are of the same fold or seed, or they
      differ in something else.
  """
  first, scores = None, {}
  for path in paths:
    config = workdirs.Workdir(path).read_config()
    run = config.dataset.fold or f'seed {config.seed}'
    if run in scores:
      raise ValueError(f'{path}: {run} is given twice.')
    varied = 'dataset.fold' if config.dataset.fold else 'seed'
    if first is None:
      first = config
    differing = [
        line
        for line in workdirs.differences(first, config)
        if not line.startswith(f'{varied}: ')
    ]
    if differing or bool(first.dataset.fold) != bool(config.dataset.fold):
      raise ValueError(
          f'{path} has another config than {paths[0]}, and a mean is over runs'
          ' that differ in the fold, or without folds in the seed:\n  '
          + '\n  '.join(differing or ['one of them has no fold'])
      )
    last = results.read(pathlib.Path(path))[-1]
    scores[run] = {k: v for k, v in last.items() if k != 'step'}
  counts = {folds.parse(run)[1] for run in scores if '/' in run}
  if len(counts) > 1:
    raise ValueError(f'The folds {", ".join(scores)} are of several divisions.')
  for count in counts:
    whole = [f'{fold}/{count}' for fold in range(1, count + 1)]
    if missing := [fold for fold in whole if fold not in scores]:
      logging.warning('These folds are missing: %s.', ', '.join(missing))
  return scores


def table(scores: dict[str, dict[str, float]]) -> str:
  """Returns a line for each score: mean, standard deviation, and those of runs.

  Args:
    scores: from `read`; a mean leaves out runs in which a score is None.
  """
  names = dict.fromkeys(name for run in scores.values() for name in run)
  # Scores of all classes together come first.
  names = sorted(names, key=lambda name: '/' in name)
  width = max(map(len, names))
  lines = [f'{"":<{width}}    mean      sd  {"".join(map(_column, scores))}']
  for name in names:
    values = [run.get(name) for run in scores.values()]
    known = [value for value in values if value is not None]
    mean = statistics.fmean(known) if known else math.nan
    deviation = statistics.stdev(known) if len(known) > 1 else math.nan
    cells = (_column('-' if v is None else f'{v:.4f}') for v in values)
    lines.append(
        f'{name:<{width}}  {mean:6.4f}  {deviation:6.4f}  {"".join(cells)}'
    )
  return '\n'.join(line.rstrip() for line in lines)


def _column(text):
  """Returns a text in the width of a column."""
  return f'{text:>8}'


def main(argv):
  """Prints the table of the runs that are named."""
  with terminal.errors_in_words():
    if len(argv) < 3:
      raise ValueError(
          'Name the workdirs of two runs or more, as in python -m'
          ' segjax.tools.summary runs/fold-*'
      )
    print(table(read([os.path.normpath(path) for path in argv[1:]])))


if __name__ == '__main__':
  app.run(main, flags_parser=terminal.parse_flags)
