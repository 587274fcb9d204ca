"""Which classes are taken for which: confusion matrices."""

from collections.abc import Sequence

from markupsafe import Markup
import numpy as np

from segjax.web.report_page.html import joined
from segjax.web.report_page.html import run_key
from segjax.web.report_page.runs import Run

CELLS = 30  # Classes up to which a confusion matrix has its numbers.

CONFUSIONS = 10  # Pairs of classes that are told in words.


def section(runs: Sequence[Run]) -> Markup:
  """Returns the confusion matrix of each run, and its largest entries."""
  parts = []
  for i, run in enumerate(runs):
    if run.confusion is None:
      if run.scores:
        parts.append(
            Markup(
                '<h3>{}</h3><p>There is no confusion matrix: {}.</p>'
            ).format(
                run_key(i, run.name),
                'the run was not evaluated for this report'
                if not run.images
                else 'the task gives no pixel exactly one class',
            )
        )
      continue
    parts.append(
        Markup('<h3>{}</h3>{}{}').format(
            run_key(i, run.name), _most_confused(run), _matrix(run)
        )
    )
  return Markup('').join(parts) or Markup('<p>There are no scores yet.</p>')


def _most_confused(run):
  """Returns the largest shares of a class that went to another, in words."""
  shares = run.confusion / np.maximum(run.confusion.sum(1, keepdims=True), 1)
  shares = shares * ~np.eye(len(shares), dtype=bool)
  places = np.argsort(-shares, axis=None)[:CONFUSIONS]
  pairs = [np.unravel_index(place, shares.shape) for place in places]
  rows = [
      (f'{shares[i, j]:.1%}', run.classes[i], run.classes[j])
      for i, j in pairs
      if shares[i, j] > 0
  ]
  return Markup('<ol class="columns">{}</ol>').format(
      joined('<li>{} of <b>{}</b> is taken for <b>{}</b></li>', rows)
  )


def _matrix(run):
  """Returns the confusion matrix as a table; rows are the truth."""
  counts = run.confusion
  if len(counts) > CELLS:
    said = f'Confusion matrix of {run.name}, {len(counts)} classes'
    return Markup(
        '<button type="button" class="zoom" aria-label="Enlarge: {text}"><img'
        ' src="{source}" alt="{text}"></button>'
    ).format(text=said, source=run.matrix)
  totals = counts.sum(1)
  heads = joined('<th scope="col"><span>{}</span></th>', zip(run.classes))
  rows = []
  for i, name in enumerate(run.classes):
    cells = []
    for j, other in enumerate(run.classes):
      share = counts[i, j] / max(totals[i], 1)
      shown = f'{100 * share:.0f}' if share >= 0.005 else ''
      said = f'{counts[i, j]:,} pixels of {name} as {other}, {share:.1%}'
      cells.append(
          Markup('<td style="--share:{:.3f}" title="{}">{}</td>').format(
              share, said, shown
          )
      )
    rows.append(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            name, Markup('').join(cells)
        )
    )
  caption = (
      f'Where the pixels of each class went in {run.name}, in percent; rows'
      ' are the truth'
  )
  return Markup(
      '<div class="wide" tabindex="0" role="region" aria-label="{0}">'
      '<table class="matrix"><caption>{0}</caption><thead><tr><td></td>{1}'
      '</tr></thead><tbody>{2}</tbody></table></div>'
  ).format(caption, heads, Markup('').join(rows))
