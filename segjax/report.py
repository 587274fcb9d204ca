"""Writes a report on runs that a person can look at, one HTML file.

  python -m segjax.report runs/a runs/b --output=report.html

It shows the curves of training, the scores of the best checkpoints and of each
class, confusion matrices, the images with the worst and the best predictions,
and what differs between the runs. The checkpoints are evaluated for it, as by
`segjax.main --mode=eval`; with --images=0 they are not, and the page tells what
lies in the folders. The file holds all it shows and loads nothing.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import math
import os

from absl import app
from absl import flags
from absl import logging
from etils import epath

from segjax import evaluate
from segjax import experiment
from segjax.artifacts import checkpoint
from segjax.artifacts import pictures
from segjax.artifacts import summaries
from segjax.artifacts import workdir as workdirs
from segjax.artifacts.workdir import Workdir
from segjax.data.parts import Part
from segjax.evaluation import semantic
from segjax.runtime import atomic
from segjax.runtime import startup
from segjax.runtime import terminal
from segjax.web import report_page
from segjax.web.report_page.confusion import CELLS
from segjax.web.report_page.runs import Example
from segjax.web.report_page.runs import Run
from segjax.web.report_page.runs import image_key

SIDE = 640  # Pixels of the longer side of a picture.
# How the score that chooses the best checkpoint is counted.
COUNTED = {
    'mIoU': (
        'Pixels are counted over the whole split, at the size of the labels,'
        ' before anything is divided; ignored pixels do not count. The IoU of a'
        ' class is its right pixels over those in truth or prediction.'
    ),
    'PQ': (
        'Segments match where their IoU is above one half. Per class, the sum'
        ' of the IoU of matches is divided by matches and half of what is wrong'
        ' or missed, over the whole split.'
    ),
    'AP': (
        'Precision averaged over recall, and over the thresholds 0.5 to 0.95 of'
        ' the IoU at which a detection counts as found.'
    ),
}


def write(
    paths: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    *,
    count: int = 6,
    data_dir: str = '',
) -> None:
  """Writes the report.

  Args:
    paths: workdirs.
    output: HTML file; an older report there is replaced.
    count: worst and best images of a run to show; 0 evaluates nothing.
    data_dir: folder of the data, '' for those of the configs.

  Raises:
    FileNotFoundError: a folder is no workdir.
    ValueError: a folder is named twice, or `output` is another file.
  """
  output = epath.Path(output)
  _check_output(output)
  folders = [Workdir(path) for path in paths]
  runs = [
      read(folder, name)
      for folder, name in zip(folders, _names(paths), strict=True)
  ]
  _number_grounds(runs)
  predictors = {}
  for i, (run, folder) in enumerate(zip(runs, folders, strict=True)):
    if not count:
      run.notes.append('Its checkpoint was not evaluated for this report.')
      continue
    try:
      predictors[i] = _evaluate(run, folder, data_dir)
    except (OSError, ValueError) as error:
      # One run without data is no reason to tell nothing of the others.
      logging.error('Not evaluated: %s: %s', run.path, error)
      run.notes.append(f'It could not be evaluated for this report: {error}')
  orders = choose(runs, count)
  examples = _examples(runs, predictors, orders)
  page = report_page.page(runs, examples, orders, workdirs.versions())
  with atomic.replacing(output) as file:
    file.write(page.encode())
  logging.info(
      '%s has %d runs and %d images.', output, len(runs), len(examples)
  )


def _number_grounds(runs):
  """Gives runs on the same images and truth the same number."""
  grounds = list(map(_ground, runs))
  for run, ground in zip(runs, grounds, strict=True):
    run.ground = grounds.index(ground)


def _ground(run):
  """Returns what the images and the truth of a run depend on, as a text."""
  of_data = sorted(
      (key, value)
      for key, value in run.fields.items()
      if key.startswith('dataset.options')
      or key in ('dataset.name', 'dataset.eval_split', 'data_dir')
  )
  task = run.fields['task'].partition('(')[0]
  return repr([of_data, task, run.classes])


def _check_output(output):
  """Raises ValueError if there is another file than a report."""
  if not output.parent.is_dir():
    raise ValueError(
        f'--output={output}: there is no folder {output.parent}; make it, or'
        ' choose another.'
    )
  if not output.exists():
    return
  if output.is_dir() or report_page.GENERATOR.encode() not in (
      output.read_bytes()
  ):
    raise ValueError(
        f'{output} exists, and is no report of segjax: choose another --output.'
    )


def _names(paths):
  """Returns short names of workdirs, unlike each other."""
  parts = [os.path.abspath(path).strip('/').split('/') for path in paths]
  if len({*map(tuple, parts)}) < len(parts):
    raise ValueError(f'A folder is named twice: {", ".join(map(str, paths))}.')
  shared = len(os.path.commonprefix(parts))
  return ['/'.join(p[min(shared, len(p) - 1) :]) for p in parts]


def read(workdir: Workdir, name: str) -> Run:
  """Returns what the folder of a run tells.

  Args:
    workdir: the folder.
    name: of the run on the page.

  Raises:
    FileNotFoundError: the folder has no config.
  """
  config = workdir.read_config()
  best = experiment.task(config).BEST
  split = experiment.eval_split(config)
  run = Run(
      name=name,
      path=str(workdir.path),
      fields=workdirs.flatten(config.to_dict()),
      versions=_json(workdir.versions) or {},
      starts=_lines(workdir.starts),
      curves=summaries.read(workdir),
      best=best,
      split=f'{config.dataset.name}, {split}',
  )
  if workdir.labels.exists():
    label_map, _ = workdir.read_labels()
    classes = experiment.task(config).scores(label_map).label_map
    run.classes, run.colors = classes.names, classes.colors
  done = max((max(steps) for steps in run.curves.values()), default=0)
  if run.curves and done < config.total_steps:
    run.notes.append(f'It is at step {done:,} of {config.total_steps:,}.')
  if skipped := len(_lines(workdir.bad_steps)):
    run.notes.append(
        f'It has skipped {skipped} steps whose gradient was not finite.'
    )
  _take_written_scores(run, workdir, split)
  return run


def _take_written_scores(run, workdir, split):
  """Takes the scores that an evaluation has left in the folder, if any."""
  if written := workdir.read_score(split):
    run.step = written['step']
    for name, value in written.items():
      if isinstance(value, str):
        run.counted |= {name: value} if name not in ('dataset', 'split') else {}
      elif name != 'step':
        run.scores |= {name: math.nan if value is None else value}
    return
  values = run.curves.get(f'val/{run.best}', {})
  known = {step: x for step, x in values.items() if x is not None}
  if not known:
    return
  run.step = max(known, key=known.get)
  for name, steps in run.curves.items():
    if name.startswith('val/') and run.step in steps:
      value = steps[run.step]
      run.scores |= {name[4:]: math.nan if value is None else value}


def _json(path):
  """Returns the content of a JSON file, None if there is none."""
  return json.loads(path.read_text()) if path.exists() else None


def _lines(path):
  """Returns the values of a file with JSON in each line, if there is one."""
  text = path.read_text() if path.exists() else ''
  return [json.loads(line) for line in text.splitlines()]


def _evaluate(run, workdir, data_dir) -> Callable:
  """Evaluates the best checkpoint of a run, and scores each image by itself.

  Args:
    run: gets the scores.
    workdir: of the run.
    data_dir: see `write`.

  Returns:
    `draw(names, seen)`, which predicts images of the split once more, and calls
    `seen(name, [image, label, prediction])` with their pictures.
  """
  config = workdir.read_config()
  config.data_dir = data_dir or config.data_dir
  step, variables = checkpoint.best(workdir.checkpoints)
  dataset = experiment.eval_dataset(config)
  system = experiment.system(config, dataset.label_map)
  setup = experiment.evaluation(config, system, dataset, workdir.read_values())
  task, places = system.task, {}
  values, matrices = {}, []

  def examples():
    for i, example in enumerate(setup.examples()):
      places[example['name']] = i
      yield example

  def score(example, prediction):
    # In one image most classes are absent, whatever the split's convention.
    alone = task.scores(dataset.label_map)
    alone.add(example, prediction)
    values[example['name']] = alone.compute()[task.BEST]
    matrices.append(alone.confusion())

  logging.info('Evaluating %s at step %d.', run.path, step)
  predict = setup.predictor(variables)
  scores, drawn = evaluate.score(
      dataclasses.replace(setup, examples=examples, num_pictures=0),
      predict,
      seen=score,
  )
  empty = setup.scores()
  run.step, run.images = step, values
  run.scores = _by_class(scores, empty.label_map.names)
  run.classes, run.colors = empty.label_map.names, empty.label_map.colors
  run.counted = {
      f'{task.BEST} of {run.split}': COUNTED[task.BEST],
      **empty.conventions(),
  }
  if matrices and matrices[0] is not None:
    run.confusion = sum(matrices)
    run.scores |= _of_classes(run)
    if len(run.classes) > CELLS:
      run.matrix = pictures.data_uri(drawn['confusion'], 2000)

  def draw(names, seen):
    few = Part(dataset, [places[name] for name in names], dataset.split)
    some = dataclasses.replace(
        setup,
        dataset=few,
        examples=experiment.eval_examples(config, few),
        num_pictures=0,
    )

    def show(example, prediction):
      panel = task.scores(dataset.label_map).draw(example, prediction)
      seen(example['name'], pictures.apart(panel))

    evaluate.score(some, predict, seen=show)

  return draw


def _by_class(scores, names):
  """Returns the scores, those of classes in the order of the classes."""
  order = {name: i for i, name in enumerate(names)}
  return dict(
      sorted(
          scores.items(),
          key=lambda item: order.get(item[0].partition('/')[2], -1),
      )
  )


def _of_classes(run):
  """Returns recall and precision of all classes, by the confusion matrix."""
  found = semantic.scores(run.confusion)
  return {
      f'{kind}/{name}': float(value)
      for kind, key in (
          ('recall', 'class_accuracy'),
          ('precision', 'class_precision'),
      )
      for name, value in zip(run.classes, found[key], strict=True)
  }


def choose(runs: Sequence[Run], count: int) -> dict[str, list[str]]:
  """Returns which images to show, {title: keys of images in this order}.

  Args:
    runs: with the scores of their images.
    count: images of each title.
  """
  orders, values = {}, {}
  several = sum(bool(run.images) for run in runs) > 1
  for run in runs:
    known = {
        image_key(run, name): value
        for name, value in run.images.items()
        if not math.isnan(value)
    }
    keys = sorted(known, key=known.get)
    of = f' of {run.name}' if several else ''
    if keys:
      orders[f'Worst{of}'] = keys[:count]
      orders[f'Best{of}'] = keys[::-1][:count]
    for key, value in known.items():
      values.setdefault(key, []).append(value)
  spread = {
      key: max(each) - min(each)
      for key, each in values.items()
      if len(each) > 1
  }
  if spread:
    keys = sorted(spread, key=spread.get, reverse=True)
    orders['Runs differ most'] = keys[:count]
  return orders


def _examples(
    runs: Sequence[Run],
    predictors: Mapping[int, Callable],
    orders: Mapping[str, Sequence[str]],
) -> list[Example]:
  """Returns the chosen images with the predictions of all runs that know them.

  Args:
    runs: see `write`.
    predictors: `draw` of `_evaluate`, by the number of the run.
    orders: from `choose`.
  """
  wanted = dict.fromkeys(key for keys in orders.values() for key in keys)
  examples = {key: Example(key, key.partition('/')[2]) for key in wanted}
  for i, draw in predictors.items():
    run = runs[i]

    def seen(name, drawn, i=i, run=run):
      example = examples[image_key(run, name)]
      image, label, prediction = (pictures.data_uri(x, SIDE) for x in drawn)
      # Runs may see an image in other sizes; the first is shown.
      example.image = example.image or image
      example.label = example.label or label
      example.predictions[i] = prediction, run.images[name]

    if mine := [x for x in run.images if image_key(run, x) in wanted]:
      draw(mine, seen)
  return [example for example in examples.values() if example.predictions]


def main(paths, output, count, data_dir):
  """Writes the report on workdirs, and ends with words if it cannot."""
  with terminal.errors_in_words():
    if not paths:
      raise ValueError('Name at least one workdir.')
    startup.prepare()
    write(paths, output, count=count, data_dir=data_dir)


if __name__ == '__main__':
  _OUTPUT = flags.DEFINE_string('output', None, 'HTML file to write.')
  _IMAGES = flags.DEFINE_integer(
      'images',
      6,
      'Worst and best images of a run to show; 0 evaluates nothing, and reports'
      ' what lies in the folders.',
      lower_bound=0,
  )
  _DATA_DIR = flags.DEFINE_string(
      'data_dir', '', 'Folder of the data, if not the one in the configs.'
  )
  flags.mark_flags_as_required(['output'])
  app.run(
      lambda argv: main(
          argv[1:], _OUTPUT.value, _IMAGES.value, _DATA_DIR.value
      ),
      flags_parser=terminal.parse_flags,
  )
