"""Line charts as SVG, which follow the colours of the page around them."""

from collections.abc import Mapping
from collections.abc import Sequence
import json
import math

from markupsafe import Markup
import numpy as np

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 26  # Margins of the plot.
POINTS = 300  # Of a line at most; others are means of neighbours.
STYLES = 6  # Colours of lines in the style sheet; then dashes tell them apart.


def line_chart(
    title: str,
    lines: Sequence[Mapping[int, float | None]],
    names: Sequence[str],
) -> Markup:
  """Returns a chart of a value over steps, with a line for each run.

  Args:
    title: what is shown.
    lines: {step: value} of each run; None interrupts a line, and a run may have
      no steps.
    names: of the runs.
  """
  thinned = [thin(line) for line in lines]
  steps = [step for line in thinned for step, _ in line]
  values = [y for line in thinned for _, y in line if y is not None]
  if not values:
    return Markup('')
  ticks = nice_ticks(min(values), max(values))
  low = min(min(values), ticks[0])
  high = max(max(values), ticks[-1])
  first, last = min(steps), max(max(steps), min(steps) + 1)

  def across(step):
    return LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT)

  def up(value):
    return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

  drawn = Markup('').join(
      _line([(across(x), None if y is None else up(y)) for x, y in line], i)
      for i, line in enumerate(thinned)
  )
  data = {
      'names': list(names),
      'lines': [[[x, y] for x, y in line if y is not None] for line in thinned],
      'frame': [LEFT, WIDTH - RIGHT, first, last],
  }
  return Markup(
      '<figure class="chart" tabindex="0" role="group" data-chart="{data}"'
      ' aria-label="{title}: {said}. Arrow keys read the values.">'
      '<figcaption>{title}</figcaption>'
      '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{said}">'
      '{grid}{drawn}<line class="cursor" x1="0" x2="0" y1="{top}"'
      ' y2="{bottom}" visibility="hidden"/></svg>'
      '<output aria-live="polite">{latest}</output></figure>'
  ).format(
      data=json.dumps(data),
      title=title,
      said=_said(thinned, names),
      width=WIDTH,
      height=HEIGHT,
      grid=_grid(
          {tick: up(tick) for tick in ticks},
          {'start': (first, across(first)), 'end': (last, across(last))},
      ),
      drawn=drawn,
      top=TOP,
      bottom=HEIGHT - BOTTOM,
      latest=f'step {first:,} to {max(steps):,}',
  )


def _grid(heights, ends):
  """Returns lines at round values, their numbers, and those of the ends.

  Args:
    heights: {value: y}.
    ends: {side of the text: (step, x)}.
  """
  rows = Markup('').join(
      Markup(
          '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
          '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
      ).format(
          *(LEFT, WIDTH - RIGHT, y, y),
          *(LEFT - 6, y + 3.5, f'{value:.4g}'),
      )
      for value, y in heights.items()
  )
  return rows + Markup('').join(
      Markup(
          '<text class="tick" x="{:.1f}" y="{}" text-anchor="{}">{}</text>'
      ).format(x, HEIGHT - 8, anchor, f'{step:,}')
      for anchor, (step, x) in ends.items()
  )


def _line(points, i):
  """Returns the path of a line; a value alone is a dot."""
  pieces, pen = [], 'M'
  for x, y in points:
    if y is None:
      pen = 'M'
      continue
    pieces.append(f'{pen}{x:.1f} {y:.1f}')
    pen = 'L'
  # A line of no length, with round ends, is a dot.
  if len(pieces) == 1:
    pieces.append('h0')
  kind = 'dot' if pieces[1:] == ['h0'] else 'dashed' if i >= STYLES else ''
  return Markup('<path class="line run{} {}" d="{}"/>').format(
      i % STYLES, kind, ''.join(pieces)
  )


def _said(lines, names):
  """Returns a chart in words."""
  told = []
  for line, name in zip(lines, names, strict=True):
    known = [(x, y) for x, y in line if y is not None]
    if known:
      (x0, y0), (x1, y1) = known[0], known[-1]
      told.append(f'{name} from {y0:.4g} at step {x0} to {y1:.4g} at step {x1}')
  return '; '.join(told)


def thin(line: Mapping[int, float | None]) -> list[tuple[int, float | None]]:
  """Returns up to `POINTS` points (step, value), means of neighbours.

  Args:
    line: {step: value}.
  """
  points = list(line.items())
  if len(points) <= POINTS:
    return points
  thinned = []
  for part in np.array_split(np.arange(len(points)), POINTS):
    values = [points[i][1] for i in part if points[i][1] is not None]
    mean = float(np.mean(values)) if values else None
    thinned.append((points[part[-1]][0], mean))
  return thinned


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
  """Returns round numbers between two values, and one beyond each end.

  Args:
    low: the lowest value.
    high: the highest value.
    count: of the steps between them, about.
  """
  if high - low <= 1e-12 * max(abs(low), abs(high)):
    margin = abs(low) / 2 or 1.0
    low, high = low - margin, high + margin
  rough = (high - low) / count
  power = 10.0 ** math.floor(math.log10(rough))
  step = power * next(x for x in (1, 2, 2.5, 5, 10) if x * power >= rough)
  first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
  return [i * step for i in range(first, last + 1)]
