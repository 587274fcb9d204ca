"""How runs came about: configs, starts, versions of packages."""

from collections.abc import Mapping
from collections.abc import Sequence

from markupsafe import Markup

from segjax.web.report_page.html import run_key
from segjax.web.report_page.html import table
from segjax.web.report_page.runs import Run

# What is told of a start of a run, in this order.
FACTS = ('date', 'commit', 'hardware', 'cores', 'devices')


def configs(runs: Sequence[Run]) -> Markup:
  """Returns the fields of the configs: those that differ, and then all."""
  fields = dict.fromkeys(sorted(key for run in runs for key in run.fields))
  parts = []
  if len(runs) > 1:
    rows = [
        [
            key,
            *(
                Markup('<code>{}</code>').format(_value(run, key))
                for run in runs
            ),
        ]
        for key in fields
        if len({_value(run, key) for run in runs}) > 1
    ]
    heads = ['Field', *(run_key(i, run.name) for i, run in enumerate(runs))]
    parts.append(
        table(heads, rows, 'Fields that differ')
        if rows
        else Markup('<p>The configs are the same.</p>')
    )
  for i, run in enumerate(runs):
    lines = '\n'.join(f'{key} = {_value(run, key)}' for key in run.fields)
    parts.append(
        Markup(
            '<details><summary>All of {}</summary><pre tabindex="0">{}</pre>'
            '</details>'
        ).format(run_key(i, run.name), lines)
    )
  return Markup('').join(parts)


def _value(run, key):
  """Returns a field of the config of a run as Python writes it."""
  return repr(run.fields[key]) if key in run.fields else 'absent'


def starts(runs: Sequence[Run]) -> Markup:
  """Returns when, where and how each run was started."""
  parts = []
  for i, run in enumerate(runs):
    rows = [
        [
            str(n),
            *(str(start.get(name, '')) for name in FACTS),
            Markup('<code>{}</code>').format(start.get('command', '')),
        ]
        for n, start in enumerate(run.starts, 1)
    ]
    parts.append(
        Markup('<h3>{}</h3><p class="path"><code>{}</code></p>').format(
            run_key(i, run.name), run.path
        )
    )
    parts.append(
        table(['Start', *FACTS, 'command'], rows, f'Starts of {run.name}')
        if rows
        else Markup('<p>The folder does not tell how it was started.</p>')
    )
  return Markup('').join(parts)


def packages(runs: Sequence[Run], versions: Mapping[str, str]) -> Markup:
  """Returns the versions of packages, of each run and of this report.

  Args:
    runs: with theirs.
    versions: {package: version} of the program that writes the report.
  """
  names = dict.fromkeys(
      [*versions, *(name for run in runs for name in run.versions)]
  )
  keys = [run_key(i, run.name) for i, run in enumerate(runs)]
  rows = [
      [
          name,
          *(run.versions.get(name, '–') for run in runs),
          versions.get(name, '–'),
      ]
      for name in names
  ]
  return table(['Package', *keys, 'this report'], rows, 'Versions')
