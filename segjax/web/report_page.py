"""The page of a report on runs: one HTML file that holds all it shows."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import math

from markupsafe import Markup
import numpy as np

from segjax import web
from segjax.web import charts

GENERATOR = '<meta name="generator" content="segjax.report">'
CELLS = 30  # Classes up to which a confusion matrix has its numbers.
CONFUSIONS = 10  # Pairs of classes that are told in words.
# What is drawn before all other curves, where there is such a curve.
FIRST = ('train/loss', 'train/learning_rate', 'train/grad_norm')
GROUPS = {
    'val/': 'Scores',
    'train/': 'Training',
    'speed/': 'Speed',
    'host/': 'Process',
}


@dataclasses.dataclass
class Run:
  """What the page tells of a run.

  Attributes:
    name: short, unlike those of the other runs.
    path: of the workdir.
    fields: {field: value} of the config, flattened.
    versions: {package: version}.
    starts: facts of each start of the run.
    curves: {name: {step: value}}.
    best: name of the score that the best checkpoint is chosen by.
    classes: names of the classes.
    colors: RGB of the classes.
    split: data set and split that the scores are of.
    ground: number that runs have in common if their images and truth are the
      same ones.
    step: of the checkpoint that the scores are of, or None.
    scores: {name: value}; NaN where there is none.
    confusion: [K, K], rows are the truth, or None.
    matrix: its picture as a data URI, for more than `CELLS` classes.
    counted: how scores were counted, {what: text}.
    images: {name of an image: its score}.
    notes: what the reader should know, in sentences.
  """

  name: str
  path: str
  fields: Mapping
  versions: Mapping[str, str]
  starts: Sequence[Mapping]
  curves: Mapping[str, Mapping[int, float | None]]
  best: str
  classes: Sequence[str] = ()
  colors: Sequence[tuple[int, int, int]] = ()
  split: str = ''
  ground: int = 0
  step: int | None = None
  scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
  confusion: np.ndarray | None = None
  matrix: str = ''
  counted: Mapping[str, str] = dataclasses.field(default_factory=dict)
  images: Mapping[str, float] = dataclasses.field(default_factory=dict)
  notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Example:
  """An image of the split with what runs predict for it.

  Attributes:
    key: of the image, unlike those of other images; see `image_key`.
    name: of the image.
    image: as a data URI, and so are the others.
    label: the truth.
    predictions: {index of a run: (picture, score)}.
  """

  key: str
  name: str
  image: str = ''
  label: str = ''
  predictions: dict[int, tuple[str, float]] = dataclasses.field(
      default_factory=dict
  )


def image_key(run: Run, name: str) -> str:
  """Returns what tells an image of a run from those of other data sets."""
  return f'{run.ground}/{name}'


def page(
    runs: Sequence[Run],
    examples: Sequence[Example],
    orders: Mapping[str, Sequence[str]],
    versions: Mapping[str, str],
) -> str:
  """Returns the page.

  Args:
    runs: what is reported, one or several.
    examples: images that are shown.
    orders: {title: keys of the images in this order}.
    versions: {package: version} of the program that predicted the images.
  """
  sections = [
      ('summary', 'Scores', _summary(runs)),
      ('curves', 'Curves', _curves(runs)),
      ('classes', 'Classes', _classes(runs)),
      ('confusion', 'Confusion', _confusions(runs)),
      ('images', 'Images', _images(runs, examples, orders)),
      ('configs', 'Configs', _configs(runs)),
      ('origin', 'Origin', _origin(runs, versions)),
  ]
  names = ', '.join(run.name for run in runs)
  return Markup(
      '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
      '<meta name="viewport" content="width=device-width, initial-scale=1">'
      # Nothing is loaded from anywhere, whatever the page holds.
      '<meta http-equiv="Content-Security-Policy" content="default-src'
      " 'none'; img-src data:; style-src 'unsafe-inline'; script-src"
      ' \'unsafe-inline\'">{generator}<title>{names} - segjax</title>'
      '<style>{style}</style></head><body>'
      '<a class="skip" href="#main">Skip to the scores</a>'
      '<header class="bar"><strong>segjax</strong><nav aria-label="Sections">'
      '{links}</nav><button type="button" id="theme">Dark or light</button>'
      '</header><main id="main"><h1>{title}</h1>{runs}{body}</main>'
      '<dialog id="zoom" aria-label="Picture in full"><form method="dialog">'
      '<button>Close</button></form><img alt=""><p></p></dialog>'
      '<script>{script}</script></body></html>\n'
  ).format(
      generator=Markup(GENERATOR),
      names=names,
      title='Report on a run' if len(runs) == 1 else 'Report on runs',
      style=Markup(web.resource('style.css')),
      script=Markup(web.resource('theme.js') + web.resource('report.js')),
      links=_joined('<a href="#{}">{}</a>', ((i, t) for i, t, _ in sections)),
      runs=_run_list(runs),
      body=_joined(
          '<section id="{0}" aria-labelledby="{0}-title"><h2 id="{0}-title">'
          '{1}</h2>{2}</section>',
          sections,
      ),
  )


def _joined(template: str, rows: Iterable[tuple]) -> Markup:
  """Returns a template filled with each row; values are escaped."""
  return Markup('').join(Markup(template).format(*row) for row in rows)


def _table(
    head: Sequence, rows: Iterable[Sequence], caption: str, sortable=False
) -> Markup:
  """Returns a table that scrolls by itself if it is wide.

  Args:
    head: of the columns.
    rows: of cells; the first of each is its header.
    caption: what the table shows.
    sortable: whether its heads are buttons that sort.
  """
  cell = '<th scope="col"><button type="button">{}</button></th>'
  heads = _joined(
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


def _cell(value) -> Markup:
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


def _share(value: float) -> Markup:
  """Returns a cell's number with a bar below it, for a score from 0 to 1."""
  if math.isnan(value):
    return Markup('<span data-value="">–</span>')
  return Markup(
      '<span class="share" data-value="{}" style="--share:{:.4f}">{}</span>'
  ).format(value, min(max(value, 0), 1), number(value))


def _key(i: int, name: str) -> Markup:
  """Returns the name of a run beside a stroke in its colour."""
  return Markup('<span class="key run{} {}">{}</span>').format(
      i % charts.STYLES, 'dashed' if i >= charts.STYLES else '', name
  )


def _run_list(runs):
  items = []
  for i, run in enumerate(runs):
    of = f', of step {run.step:,}' if run.step is not None else ''
    value = run.scores.get(run.best, math.nan)
    items.append(
        Markup(
            '<li><h3>{}</h3><p class="big">{} <small>{}</small></p><p>{} on {}'
            '{}</p>{}</li>'
        ).format(
            _key(i, run.name),
            number(value),
            run.best,
            run.fields.get('model_name', ''),
            run.split,
            of,
            _joined('<p class="note">{}</p>', ((note,) for note in run.notes)),
        )
    )
  return Markup('<ul class="runs">{}</ul>').format(Markup('').join(items))


def _summary(runs):
  """Returns the scores of whole splits, and how they were counted."""
  names = dict.fromkeys(
      name
      for run in runs
      for name in run.scores
      if '/' not in name and name != 'images_per_second'
  )
  if not names:
    return Markup('<p>No run has been evaluated yet.</p>')
  table = _table(
      ['Score', *(_key(i, run.name) for i, run in enumerate(runs))],
      [
          [name, *(float(run.scores.get(name, math.nan)) for run in runs)]
          for name in names
      ],
      'Scores of the best checkpoints',
  )
  counted = dict.fromkeys(
      (what, text) for run in runs for what, text in run.counted.items()
  )
  words = _joined('<dt>{}</dt><dd>{}</dd>', counted)
  return table + Markup(
      '<h3>How the scores are counted</h3><dl class="words">{}</dl>'
  ).format(words)


def _curves(runs):
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
  keys = Markup('').join(_key(i, run.name) for i, run in enumerate(runs))
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


def _grounds(runs):
  """Yields the runs, with their numbers, that have the same classes."""
  found = {}
  for i, run in enumerate(runs):
    if run.scores:
      found.setdefault((run.ground, tuple(run.classes)), []).append((i, run))
  yield from found.values()


def _classes(runs):
  """Returns tables of the scores of classes, for runs of the same classes."""
  tables = []
  for ground in _grounds(runs):
    first = ground[0][1]
    kinds = dict.fromkeys(
        name.partition('/')[0]
        for _, run in ground
        for name in run.scores
        if '/' in name
    )
    columns = [(kind, i, run) for kind in kinds for i, run in ground]
    columns = [
        (kind, i, run)
        for kind, i, run in columns
        if any(f'{kind}/{name}' in run.scores for name in first.classes)
    ]
    shares = None
    if first.confusion is not None and first.confusion.sum():
      shares = first.confusion.sum(1) / first.confusion.sum()
    differs = len(ground) == 2 and bool(kinds)
    main = next(iter(kinds), '')
    rows = []
    for k, name in enumerate(first.classes):
      values = [run.scores.get(f'{kind}/{name}') for kind, _, run in columns]
      if all(value is None for value in values):
        continue
      row = [_swatch(first.colors[k], name)]
      if shares is not None:
        row.append(float(shares[k]))
      row += [_share(math.nan if x is None else x) for x in values]
      if differs:
        one, other = (
            run.scores.get(f'{main}/{name}', math.nan) for _, run in ground
        )
        row.append(_difference(other - one))
      rows.append(row)
    head = ['Class', *(['share of truth'] if shares is not None else [])]
    head += [
        Markup('{} {}').format(kind, _key(i, run.name))
        for kind, i, run in columns
    ]
    if differs:
      head.append(f'difference in {main}')
    tables.append(
        _table(head, rows, f'Classes of {first.split}', sortable=True)
        if rows
        else Markup('<p>The scores of {} are not by class.</p>').format(
            first.split
        )
    )
  return Markup('').join(tables) or Markup('<p>There are no scores yet.</p>')


def _swatch(color, name):
  return Markup(
      '<i class="swatch" style="background:rgb({},{},{})"></i>{}'
  ).format(*color, name)


def _difference(value):
  if math.isnan(value):
    return Markup('<span data-value="">–</span>')
  kind = 'up' if value > 0 else 'down' if value < 0 else ''
  return Markup('<span class="{}" data-value="{}">{:+.4f}</span>').format(
      kind, value, value
  )


def _confusions(runs):
  parts = []
  for i, run in enumerate(runs):
    if run.confusion is None:
      if run.scores:
        parts.append(
            Markup(
                '<h3>{}</h3><p>There is no confusion matrix: {}.</p>'
            ).format(
                _key(i, run.name),
                'the run was not evaluated for this report'
                if not run.images
                else 'the task gives no pixel exactly one class',
            )
        )
      continue
    parts.append(
        Markup('<h3>{}</h3>{}{}').format(
            _key(i, run.name), _most_confused(run), _matrix(run)
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
      _joined('<li>{} of <b>{}</b> is taken for <b>{}</b></li>', rows)
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
  heads = _joined('<th scope="col"><span>{}</span></th>', zip(run.classes))
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


def _images(runs, examples, orders):
  if not examples:
    return Markup('<p>No image was predicted for this report.</p>')
  buttons = _joined(
      '<button type="button" aria-pressed="false" data-order="{}">{}</button>',
      ((json.dumps(list(keys)), title) for title, keys in orders.items()),
  )
  cards = []
  for example in examples:
    pictures = [
        _picture(example.image, 'Image', f'Image {example.name}'),
        _picture(example.label, 'Label', f'Label of {example.name}'),
    ]
    for i, (picture, value) in example.predictions.items():
      name, best = runs[i].name, runs[i].best
      pictures.append(
          _picture(
              picture,
              Markup('{} <b>{}</b>').format(_key(i, name), number(value)),
              f'Prediction of {name} for {example.name}, {best}'
              f' {number(value)}',
          )
      )
    cards.append(
        Markup(
            '<article class="example" data-key="{}"><h3>{}</h3><div'
            ' class="pictures">{}</div></article>'
        ).format(example.key, example.name, Markup('').join(pictures))
    )
  score = ' or '.join(dict.fromkeys(run.best for run in runs if run.images))
  return Markup(
      '<p>An image by itself has another score than the split: here it is the'
      ' {} of the classes in its truth or prediction. Images without one are'
      ' left out.</p><div class="orders" role="group" aria-label="Which images'
      '">{}</div>{}<div class="examples">{}</div>'
  ).format(score, buttons, _legend(runs), Markup('').join(cards))


def _picture(source, caption, text):
  return Markup(
      '<figure><button type="button" class="zoom" aria-label="Enlarge: {text}">'
      '<img src="{source}" alt="{text}"></button><figcaption>'
      '{caption}</figcaption></figure>'
  ).format(text=text, source=source, caption=caption)


def _legend(runs):
  legends = []
  for ground in _grounds(runs):
    run = ground[0][1]
    swatches = Markup('').join(
        Markup('<li>{}</li>').format(_swatch(color, name))
        for color, name in zip(run.colors, run.classes, strict=True)
    )
    legends.append(
        Markup(
            '<details {}><summary>Colours of {}</summary><ul class="legend">{}'
            '</ul></details>'
        ).format(
            'open' if len(run.classes) <= CELLS else '', run.split, swatches
        )
    )
  return Markup('').join(legends)


def _configs(runs):
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
    heads = ['Field', *(_key(i, run.name) for i, run in enumerate(runs))]
    parts.append(
        _table(heads, rows, 'Fields that differ')
        if rows
        else Markup('<p>The configs are the same.</p>')
    )
  for i, run in enumerate(runs):
    lines = '\n'.join(f'{key} = {_value(run, key)}' for key in run.fields)
    parts.append(
        Markup(
            '<details><summary>All of {}</summary><pre tabindex="0">{}</pre>'
            '</details>'
        ).format(_key(i, run.name), lines)
    )
  return Markup('').join(parts)


def _value(run, key):
  """Returns a field of the config of a run as Python writes it."""
  return repr(run.fields[key]) if key in run.fields else 'absent'


def _origin(runs, versions):
  """Returns how runs were started, and with which versions of packages."""
  parts = []
  for i, run in enumerate(runs):
    rows = [
        [
            str(n),
            *(str(start.get(k, '')) for k in ('date', 'commit', 'hardware')),
            *(str(start.get(k, '')) for k in ('cores', 'devices')),
            Markup('<code>{}</code>').format(start.get('command', '')),
        ]
        for n, start in enumerate(run.starts, 1)
    ]
    parts.append(
        Markup('<h3>{}</h3><p class="path"><code>{}</code></p>').format(
            _key(i, run.name), run.path
        )
    )
    parts.append(
        _table(
            [
                'Start',
                'date',
                'commit',
                'hardware',
                'cores',
                'devices',
                'command',
            ],
            rows,
            f'Starts of {run.name}',
        )
        if rows
        else Markup('<p>The folder does not tell how it was started.</p>')
    )
  packages = dict.fromkeys(
      [*versions, *(name for run in runs for name in run.versions)]
  )
  parts.append(
      _table(
          [
              'Package',
              *(_key(i, run.name) for i, run in enumerate(runs)),
              'this report',
          ],
          [
              [
                  name,
                  *(run.versions.get(name, '–') for run in runs),
                  versions.get(name, '–'),
              ]
              for name in packages
          ],
          'Versions',
      )
  )
  return Markup('').join(parts)
