"""Pieces of a page that several of its sections have."""

from collections.abc import Iterable
from collections.abc import Sequence
import math
from typing import Any

from markupsafe import Markup

from segjax.web import charts


def joined(template: str, rows: Iterable[tuple]) -> Markup:
  """Returns a template filled with each row; values are escaped."""
  return Markup('').join(Markup(template).format(*row) for row in rows)


def table(
    head: Sequence,
    rows: Iterable[Sequence],
    caption: str,
    sortable: bool = False,
) -> Markup:
  """Returns a table that scrolls by itself if it is wide.

  Args:
    head: of the columns.
    rows: of cells; the first of each is its header.
    caption: what the table shows.
    sortable: whether its heads are buttons that sort.
  """
  cell = '<th scope="col"><button type="button">{}</button></th>'
  heads = joined(
      cell if sortable else '<th scope="col">{}</th>', ((h,) for h in head)
  )
  body = Markup('').join(
      Markup('<tr><th scope="row">{}</th>{}</tr>').format(
          row[0], Markup('').join(_cell(value) for value in row[1:])
      )
      for row in rows
  )
  return Markup(
      '<div class="wide" tabindex="0" role="region" aria-label="{0}"><table{1}>'
      '<caption>{0}</caption><thead><tr>{2}</tr></thead><tbody>{3}</tbody>'
      '</table></div>'
  ).format(
      caption, Markup(' class="sortable"') if sortable else '', heads, body
  )


def _cell(value: Any) -> Markup:
  """Returns a cell of a table: markup as it is, a score with four decimals."""
  if isinstance(value, Markup):
    return Markup('<td>{}</td>').format(value)
  if isinstance(value, float):
    return Markup('<td class="number" data-value="{}">{}</td>').format(
        '' if math.isnan(value) else value, number(value)
    )
  return Markup('<td>{}</td>').format(value)


def number(value: float) -> str:
  """Returns a score with four decimals, or a dash for NaN."""
  return '–' if math.isnan(value) else f'{value:.4f}'


def share_bar(value: float) -> Markup:
  """Returns a cell's number with a bar below it, for a score from 0 to 1."""
  if math.isnan(value):
    return Markup('<span data-value="">–</span>')
  return Markup(
      '<span class="share" data-value="{}" style="--share:{:.4f}">{}</span>'
  ).format(value, min(max(value, 0), 1), number(value))


def run_key(i: int, name: str) -> Markup:
  """Returns the name of a run beside a stroke in its colour."""
  return Markup('<span class="key run{} {}">{}</span>').format(
      i % charts.STYLES, 'dashed' if i >= charts.STYLES else '', name
  )


def swatch(color: Sequence[int], name: str) -> Markup:
  """Returns the name of a class beside its colour."""
  return Markup(
      '<i class="swatch" style="background:rgb({},{},{})"></i>{}'
  ).format(*color, name)
