r"""Searches parameters of a CRF that refines predictions of a trained model.

  python -m segjax.tools.crf_search --workdir=runs/voc --split=val --limit=100 \
      --grid='dense_crf(bilateral=([3.0, 5.0], [40.0, 60.0, 80.0], [3.0, 9.0]))'

The grid is a refinement of segjax/refine with lists in place of some numbers;
all combinations of the lists' elements are tried. Each image is predicted once.
The result is a table, best first, which is also written to crf-SPLIT.csv in the
workdir. Its strings are values for --config.predict.refine.
"""

import ast
from collections.abc import Sequence
import csv
import itertools

from absl import app
from absl import flags
from absl import logging
from etils import epath
import numpy as np

from segjax import experiment
from segjax import refine
from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.evaluation import semantic
from segjax.inference import bands
from segjax.inference import views
from segjax.runtime import progress
from segjax.runtime import startup
from segjax.runtime import terminal


def expand(grid: str) -> list[str]:
  """Returns the refinements of a grid, one for each combination of elements.

  >>> expand('dense_crf(gaussian=([1.0, 3.0], 2.0))')
  ['dense_crf(gaussian=(1.0, 2.0))', 'dense_crf(gaussian=(3.0, 2.0))']

  Raises:
    ValueError: the grid cannot be read, or one of its refinements is invalid.
  """
  try:
    tree = ast.parse(grid.strip(), mode='eval')
  except SyntaxError as error:
    raise ValueError(f'Cannot read the grid {grid!r}: {error}.') from error
  lists = [node for node in ast.walk(tree) if isinstance(node, ast.List)]
  refinements = []
  for choice in itertools.product(*(node.elts for node in lists)):
    chosen = dict(zip(map(id, lists), choice, strict=True))
    refinements.append(ast.unparse(_replace(tree.body, chosen)))
  for text in refinements:
    if refine.build(text) is None:
      raise ValueError('The grid is empty.')
  return refinements


def _replace(node, chosen):
  """Returns a copy of a syntax tree with nodes replaced by {id: new node}."""
  if id(node) in chosen:
    return chosen[id(node)]
  fields = {}
  for name, value in ast.iter_fields(node):
    if isinstance(value, ast.AST):
      value = _replace(value, chosen)
    elif isinstance(value, list):
      value = [_replace(item, chosen) for item in value]
    fields[name] = value
  return type(node)(**fields)


def search(
    workdir: Workdir, split: str, grid: str, *, limit: int = 100
) -> list[tuple[float, str]]:
  """Scores a model without a CRF, and with each refinement of a grid.

  Args:
    workdir: of a trained run.
    split: split of its data set.
    grid: see `expand`.
    limit: number of images, taken evenly from the whole split because
      neighbouring ones may be frames of one scene; 0 takes all.

  Returns:
    [(mIoU, refinement), ...], the best first; '' is without a CRF.
  """
  refinements = ['', *expand(grid)]
  config = workdir.read_config()
  config.predict.refine = ''
  dataset = experiment.dataset(config, split)
  num_classes = dataset.label_map.num_classes
  system = experiment.system(config, dataset.label_map)
  if not system.task.PER_PIXEL:
    raise ValueError(
        f'A CRF refines label maps, and {config.task} predicts something else.'
    )
  forward = experiment.forward(config, system)
  options = experiment.inference(config, system)
  _, variables = checkpoint.best(workdir.checkpoints)
  every = max(len(dataset) // limit, 1) if limit else 1
  examples = experiment.eval_examples(config, dataset, num_hosts=every, host=0)
  count = min(limit or len(dataset), len(dataset))
  predictions = views.predict(
      lambda batch: forward(variables, batch),
      itertools.islice(examples(), count),
      options,
      probabilities=True,
  )
  counts = np.zeros((len(refinements), num_classes, num_classes), np.int64)
  for example, prediction in progress.track(predictions, count, 'Searching'):
    labels = prediction['labels']
    for i, text in enumerate(refinements):
      if text:
        refined = refine.build(text)(example, prediction['probabilities'])
        labels = bands.decide(refined, options.threshold)
      counts[i] += semantic.confusion(labels, example['label'], num_classes)
  scores = [semantic.scores(c, config.absent)['mIoU'] for c in counts]
  ranked = zip(map(float, scores), refinements, strict=True)
  return sorted(ranked, key=lambda row: -row[0])


def write(path: epath.Path, rows: Sequence[tuple[float, str]]) -> None:
  """Writes the table that `search` returns as CSV."""
  with path.open('w') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerows([('mIoU', 'crf'), *rows])


def main(argv):
  """Runs the search that the flags describe."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  with terminal.errors_in_words():
    startup.prepare()
    workdir = Workdir(_WORKDIR.value)
    rows = search(workdir, _SPLIT.value, _GRID.value, limit=_LIMIT.value)
    path = workdir.path / f'crf-{_SPLIT.value}.csv'
    write(path, rows)
    lines = [f'  {score:.4f}  {text or "no CRF"}' for score, text in rows]
    logging.info('mIoU, also in %s:\n%s', path, '\n'.join(lines))


if __name__ == '__main__':
  _WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
  _SPLIT = flags.DEFINE_string(
      'split', 'val', 'Split of the data set of the run.'
  )
  _LIMIT = flags.DEFINE_integer(
      'limit',
      100,
      'Number of images, evenly spread over the split; 0 takes all.',
  )
  _GRID = flags.DEFINE_string(
      'grid', None, 'Refinement with lists in place of numbers.'
  )
  flags.mark_flags_as_required(['workdir', 'grid'])
  app.run(main, flags_parser=terminal.parse_flags)
