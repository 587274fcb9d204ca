"""Scores of runs: at a glance, of whole splits, and of each class."""

from collections.abc import Sequence
import math

from markupsafe import Markup

from segjax.web.report_page.html import joined
from segjax.web.report_page.html import number
from segjax.web.report_page.html import run_key
from segjax.web.report_page.html import share_bar
from segjax.web.report_page.html import swatch
from segjax.web.report_page.html import table
from segjax.web.report_page.runs import Run
from segjax.web.report_page.runs import grounds


def run_list(runs: Sequence[Run]) -> Markup:
  """Returns the runs with the score that their checkpoints are chosen by."""
  items = []
  for i, run in enumerate(runs):
    of = f', of step {run.step:,}' if run.step is not None else ''
    value = run.scores.get(run.best, math.nan)
    items.append(
        Markup(
            '<li><h3>{}</h3><p class="big">{} <small>{}</small></p><p>{} on {}'
            '{}</p>{}</li>'
        ).format(
            run_key(i, run.name),
            number(value),
            run.best,
            run.fields.get('model_name', ''),
            run.split,
            of,
            joined('<p class="note">{}</p>', ((note,) for note in run.notes)),
        )
    )
  return Markup('<ul class="runs">{}</ul>').format(Markup('').join(items))


def summary(runs: Sequence[Run]) -> Markup:
  """Returns the scores of whole splits, and how they were counted."""
  names = dict.fromkeys(
      name
      for run in runs
      for name in run.scores
      if '/' not in name and name != 'images_per_second'
  )
  if not names:
    return Markup('<p>No run has been evaluated yet.</p>')
  of_splits = table(
      ['Score', *(run_key(i, run.name) for i, run in enumerate(runs))],
      [
          [name, *(float(run.scores.get(name, math.nan)) for run in runs)]
          for name in names
      ],
      'Scores of the best checkpoints',
  )
  counted = dict.fromkeys(
      (what, text) for run in runs for what, text in run.counted.items()
  )
  words = joined('<dt>{}</dt><dd>{}</dd>', counted)
  return of_splits + Markup(
      '<h3>How the scores are counted</h3><dl class="words">{}</dl>'
  ).format(words)


def by_class(runs: Sequence[Run]) -> Markup:
  """Returns tables of the scores of classes, for runs of the same classes."""
  tables = Markup('').join(map(_class_table, grounds(runs)))
  return tables or Markup('<p>There are no scores yet.</p>')


def _class_table(numbered):
  """Returns the table of the scores of each class.

  Args:
    numbered: (number, run) of runs of the same classes. With two of them, the
      last column is the difference in the first kind of score.
  """
  first = numbered[0][1]
  kinds = dict.fromkeys(
      name.partition('/')[0]
      for _, run in numbered
      for name in run.scores
      if '/' in name
  )
  columns = [
      (kind, i, run)
      for kind in kinds
      for i, run in numbered
      if any(f'{kind}/{name}' in run.scores for name in first.classes)
  ]
  shares = None
  if first.confusion is not None and first.confusion.sum():
    shares = first.confusion.sum(1) / first.confusion.sum()
  differs = len(numbered) == 2 and bool(kinds)
  main = next(iter(kinds), '')
  rows = []
  for k, name in enumerate(first.classes):
    values = [run.scores.get(f'{kind}/{name}') for kind, _, run in columns]
    if all(value is None for value in values):
      continue
    row = [swatch(first.colors[k], name)]
    if shares is not None:
      row.append(float(shares[k]))
    row += [share_bar(math.nan if x is None else x) for x in values]
    if differs:
      one, other = (
          run.scores.get(f'{main}/{name}', math.nan) for _, run in numbered
      )
      row.append(_difference(other - one))
    rows.append(row)
  if not rows:
    return Markup('<p>The scores of {} are not by class.</p>').format(
        first.split
    )
  head = ['Class', *(['share of truth'] if shares is not None else [])]
  head += [
      Markup('{} {}').format(kind, run_key(i, run.name))
      for kind, i, run in columns
  ]
  if differs:
    head.append(f'difference in {main}')
  return table(head, rows, f'Classes of {first.split}', sortable=True)


def _difference(value):
  """Returns the cell of a difference between two scores, with its sign."""
  if math.isnan(value):
    return Markup('<span data-value="">–</span>')
  kind = 'up' if value > 0 else 'down' if value < 0 else ''
  return Markup('<span class="{}" data-value="{}">{:+.4f}</span>').format(
      kind, value, value
  )
