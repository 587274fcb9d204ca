"""Reports of measurements: tables and JSON."""

import datetime
import itertools
import json
import operator
import os
import pathlib
import platform
import statistics
import sys

import numpy as np
from rich import box
from rich import console
from rich import table

from segjax.benchmark import pairs
from segjax.benchmark import trace
from segjax.runtime import atomic

TITLES = (
    *('model', 'what', 'who', 'ms', 'min..max', 'images/s', 'a core'),
    *('GFLOP', 'of peak', 'memory MB', 'compile s', 'time/ours', 'work/ours'),
    *('mean ms', '95% ms', 'M params', 'trained'),
)
WIDTH = 132  # Least width of tables, even on a narrower terminal.
# Logs of finished runs; an installed package has none.
RESULTS = pathlib.Path(__file__).parents[2] / 'launch' / 'results'
SHOWN = 20  # Number of kernels that are shown.
NAME = 100  # Characters of their names; those of cuDNN are longer than a line.


def row(model, what, who, seconds, batch, facts, *, after=None, peak=None):
  """Returns the dictionary that reports a measurement.

  Args:
    model: key of `MODELS`.
    what: what was measured, such as 'forward'.
    who: name of the build, such as 'torch eager'.
    seconds: seconds of a step, for each repeat.
    batch: images per step; 0 for measurements without images.
    facts: facts of the build, see the workers.
    after: values that the worker reported after a run.
    peak: FLOP/s of the fastest matrix product.
  """
  median = statistics.median(seconds)
  flops = facts.get('flops')
  return {
      'model': model,
      'what': what,
      'who': who,
      'median_seconds': median,
      'min_seconds': min(seconds),
      'max_seconds': max(seconds),
      'seconds': seconds,
      'images_per_second': batch / median if batch else None,
      'peak_share': flops / median / peak if flops and peak else None,
      **facts,
      **(after or {}),
  }


def latency_row(model, size, who, seconds, facts):
  """Returns the row of single images, with mean and 95th percentile.

  Args:
    model: key of `MODELS`.
    size: (height, width) of the image.
    who: name of the build.
    seconds: of each step.
    facts: facts of the build.
  """
  what = f'latency, {size[0]} x {size[1]}'
  return row(model, what, who, seconds, 1, facts) | {
      'mean_seconds': statistics.fmean(seconds),
      'p95_seconds': float(np.percentile(seconds, 95)),
      'trained': trained(pairs.MODELS[model].system),
  }


def trained(system, folder=RESULTS):
  """Returns the last scores of logged runs, such as '87.5 mIoU on shapes'.

  Args:
    system: file of segjax/models.
    folder: of the logs that `segjax.tools.results` writes.
  """
  scores = []
  for log in sorted(folder.glob(f'{system}-*.jsonl')):
    facts, *_, last = map(json.loads, log.read_text().splitlines())
    score = facts['score']
    scores.append(f'{100 * last[score]:.1f} {score} on {facts["dataset"]}')
  return ', '.join(scores)


def add_ratios(rows, ours):
  """Adds to each row its time, FLOPs and parameters relative to our row.

  Args:
    rows: rows of one model and one kind of measurement.
    ours: `who` of our row; without such a row nothing is added.
  """
  base = next((r for r in rows if r['who'] == ours), None)
  for other in rows:
    if base is None or other is base:
      continue
    other['time_ratio'] = other['median_seconds'] / base['median_seconds']
    for key in ('products', 'parameters'):
      if base.get(key) and other.get(key):
        other[f'{key}_ratio'] = other[key] / base[key]


def about(versions):
  """Describes the machine, the command and the versions of libraries.

  Args:
    versions: {worker: its answer to 'hello'}.
  """
  cores = (
      len(os.sched_getaffinity(0))
      if hasattr(os, 'sched_getaffinity')
      else os.cpu_count()
  )
  return {
      'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
      'machine': _processor(),
      'cores': cores,
      'system': platform.platform(),
      'python': platform.python_version(),
      'command': ' '.join(['python -m segjax.benchmark', *sys.argv[1:]]),
      'workers': versions,
  }


def _processor():
  """Returns the name of the processor."""
  try:
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
  except OSError:  # Not Linux.
    return platform.processor() or platform.machine()
  names = [li.split(':', 1)[1].strip() for li in lines if 'model name' in li]
  return names[0] if names else platform.machine()


def cells(row):
  """Formats a row as texts, in the order of `TITLES`."""

  def text(value, form):
    return '' if value is None else form.format(value)

  ms = 1e3
  # The peak is the second choice: on a GPU it is that of all steps that the
  # process has run.
  memory = row.get('memory') or row.get('peak_bytes')
  of_one = 'p95_seconds' in row or None  # Of a latency.
  return (
      row['model'],
      row['what'],
      row['who'],
      f'{row["median_seconds"] * ms:.4g}',
      ''
      if of_one  # The percentile stands for the spread, and leaves room.
      else f'{row["min_seconds"] * ms:.4g}..{row["max_seconds"] * ms:.4g}',
      text(None if of_one else row.get('images_per_second'), '{:.4g}'),
      text(row.get('images_per_cpu_second'), '{:.4g}'),
      text(row.get('flops') and row['flops'] / 1e9, '{:.4g}'),
      text(row.get('peak_share'), '{:.0%}'),
      text(memory and memory / 1e6, '{:.0f}'),
      text(None if of_one else row.get('compile_seconds'), '{:.1f}'),
      text(row.get('time_ratio'), '{:.2f}'),
      text(row.get('products_ratio'), '{:.3f}'),
      text(of_one and row['mean_seconds'] * ms, '{:.4g}'),
      text(of_one and row['p95_seconds'] * ms, '{:.4g}'),
      text(of_one and row.get('parameters', 0) / 1e6 or None, '{:.2f}'),
      row.get('trained', ''),
  )


def show(rows):
  """Prints a table for each model and measurement, and where time goes."""
  terminal = console.Console()
  terminal.width = max(terminal.width, WIDTH)
  key = operator.itemgetter('model', 'what')
  for (model, what), group in itertools.groupby(rows, key):
    group = list(group)
    terminal.print(
        _table(f'{model} {what}', TITLES[2:], (cells(r)[2:] for r in group))
    )
    for measured in group:
      if kernels := measured.get('kernels'):
        terminal.print(_where(f'{model} {what}, by kind', trace.kinds(kernels)))
        longest = dict(list(kernels.items())[:SHOWN])
        terminal.print(_where('by kernel', longest, sum(kernels.values())))


def _where(title, seconds, total=0.0):
  """Returns a table of {name: seconds per step}."""
  total = total or sum(seconds.values())
  return _table(
      title,
      ('ms a step', 'share', ''),
      (
          (f'{s * 1e3:.3f}', f'{s / total:.1%}', name[:NAME])
          for name, s in seconds.items()
      ),
  )


def _table(title, titles, lines):
  lines = list(lines)
  # Columns without any value are left out.
  used = [any(column) for column in zip(*lines, strict=True)]
  titles, *lines = (itertools.compress(x, used) for x in (titles, *lines))
  result = table.Table(title=title, title_justify='left', box=box.SIMPLE_HEAD)
  for name in titles:
    result.add_column(name, no_wrap=True)
  for line in lines:
    result.add_row(*line)
  return result


def markdown(rows):
  """Formats rows as a table in Markdown."""
  lines = [TITLES, ['---'] * len(TITLES), *map(cells, rows)]
  return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def write(path, about, rows):
  """Writes all as JSON, or to NAME.md as a table, whole or not at all."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == '.md':
    text = (
        f'{about["date"]}, {about["machine"]}, {about["cores"]} cores:'
        f' `{about["command"]}`\n\n{markdown(rows)}'
    )
  else:
    text = json.dumps({**about, 'rows': rows}, indent=2) + '\n'
  with atomic.replacing(path) as file:
    file.write(text.encode())
