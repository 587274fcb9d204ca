"""What was measured, as a table and as JSON."""

import datetime
import itertools
import json
import operator
import os
import pathlib
import platform
import statistics
import sys

from rich import box
from rich import console
from rich import table

from segjax.benchmark import trace
from segjax.runtime import atomic

TITLES = (
    *('model', 'what', 'who', 'ms', 'min..max', 'images/s', 'a core'),
    *('GFLOP', 'of peak', 'memory MB', 'compile s', 'time/ours', 'work/ours'),
)
WIDTH = 132  # The least that a table takes, whatever the terminal has.
SHOWN = 20  # Kernels.
NAME = 100  # Letters of their names; cuDNN's have more than a line.


def row(model, what, who, seconds, batch, facts, *, after=None, peak=None):
  """Returns what is written of a measurement, a dict.

  Args:
    model: key of `PAIRS`.
    what: was measured.
    who: was.
    seconds: of a step, one for each repeat.
    batch: images of a step; 0 if it is not about images.
    facts: of the build, see the workers.
    after: what the worker said after a run.
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


def add_ratios(rows, ours):
  """Adds to rows of others how many times as long as ours they take.

  Args:
    rows: of one model and one what.
    ours: the `who` to compare with; without it nothing is added.
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
  """Returns where and how the measurements were taken.

  Args:
    versions: {worker: what it answered to 'hello'}.
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


def cells(found):
  """Returns a row's texts, under `TITLES`."""

  def text(value, form):
    return '' if value is None else form.format(value)

  ms = 1e3
  # The peak of a process on a GPU is that of all it has run.
  memory = found.get('memory') or found.get('peak_bytes')
  return (
      found['model'],
      found['what'],
      found['who'],
      f'{found["median_seconds"] * ms:.4g}',
      f'{found["min_seconds"] * ms:.4g}..{found["max_seconds"] * ms:.4g}',
      text(found.get('images_per_second'), '{:.4g}'),
      text(found.get('images_per_cpu_second'), '{:.4g}'),
      text(found.get('flops') and found['flops'] / 1e9, '{:.4g}'),
      text(found.get('peak_share'), '{:.0%}'),
      text(memory and memory / 1e6, '{:.0f}'),
      text(found.get('compile_seconds'), '{:.1f}'),
      text(found.get('time_ratio'), '{:.2f}'),
      text(found.get('products_ratio'), '{:.3f}'),
  )


def show(rows):
  """Prints a table for each model and thing measured, and where time goes."""
  terminal = console.Console()
  terminal.width = max(terminal.width, WIDTH)
  place = operator.itemgetter('model', 'what')
  for (model, what), found in itertools.groupby(rows, place):
    found = list(found)
    terminal.print(
        _table(f'{model} {what}', TITLES[2:], (cells(r)[2:] for r in found))
    )
    for measured in found:
      if kernels := measured.get('kernels'):
        terminal.print(_where(f'{model} {what}, by kind', trace.kinds(kernels)))
        longest = dict(list(kernels.items())[:SHOWN])
        terminal.print(_where('by kernel', longest, sum(kernels.values())))


def _where(title, seconds, total=0.0):
  """Returns a table of {name: seconds of a step}."""
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
  # Without the columns that nobody fills.
  used = [any(column) for column in zip(*lines, strict=True)]
  titles, *lines = (itertools.compress(x, used) for x in (titles, *lines))
  made = table.Table(title=title, title_justify='left', box=box.SIMPLE_HEAD)
  for name in titles:
    made.add_column(name, no_wrap=True)
  for line in lines:
    made.add_row(*line)
  return made


def markdown(rows):
  """Returns the table as Markdown has it."""
  lines = [TITLES, ['---'] * len(TITLES), *map(cells, rows)]
  return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def write(path, about, rows):
  """Writes all as JSON, whole or not at all."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  text = json.dumps({**about, 'rows': rows}, indent=2) + '\n'
  with atomic.replacing(path) as file:
    file.write(text.encode())
