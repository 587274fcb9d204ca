"""Curves of what was measured while runs were trained."""

from collections.abc import Sequence

from markupsafe import Markup

from segjax.web import charts
from segjax.web.report_page.html import run_key
from segjax.web.report_page.runs import Run

# What is drawn before all other curves, where there is such a curve.
FIRST = ('train/loss', 'train/learning_rate', 'train/grad_norm')

GROUPS = {
    'val/': 'Scores',
    'train/': 'Training',
    'speed/': 'Speed',
    'host/': 'Process',
}


def section(runs: Sequence[Run]) -> Markup:
  """Returns the charts, those of the loss and the best score before others."""
  names = dict.fromkeys(name for run in runs for name in run.curves)
  if not names:
    return Markup(
        '<p>There is no metrics.jsonl: these weights were converted, or'
        ' training has not written a line yet.</p>'
    )
  best = dict.fromkeys(f'val/{run.best}' for run in runs)
  first = [name for name in (*best, *FIRST) if name in names]
  drawn = _charts(runs, first)
  for start, title in GROUPS.items():
    more = [n for n in names if n.startswith(start) and n not in first]
    kinds = {f'{title} by class': [n for n in more if n.count('/') > 1]}
    kinds = {title: [n for n in more if n.count('/') == 1]} | kinds
    for heading, chosen in kinds.items():
      if chosen:
        drawn += Markup(
            '<details><summary>{} <small>{}</small></summary>{}</details>'
        ).format(heading, len(chosen), _charts(runs, chosen))
  return drawn


def _charts(runs, names):
  """Returns a chart of each name, with a line for each run."""
  keys = Markup('').join(run_key(i, run.name) for i, run in enumerate(runs))
  return Markup('<p class="keys">{}</p><div class="charts">{}</div>').format(
      keys,
      Markup('').join(
          charts.line_chart(
              name,
              [run.curves.get(name, {}) for run in runs],
              [run.name for run in runs],
          )
          for name in names
      ),
  )
