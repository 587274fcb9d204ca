"""One pass over a split: scores at the labels' own sizes, and pictures."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import time

from absl import logging
import numpy as np

from segjax import experiment
from segjax.artifacts import checkpoint
from segjax.data import datasets
from segjax.ensemble import Ensemble
from segjax.experiment import Evaluation
from segjax.exported import ExportedPredictor
from segjax.runtime import hosts
from segjax.runtime import progress

Pictures = dict[str, np.ndarray]


def score(
    evaluation: Evaluation,
    predict: Callable[[Iterable[dict]], Iterator[tuple[dict, dict]]],
    look: Callable[[], None] = lambda: None,
    seen: Callable[[dict, dict], None] = lambda example, prediction: None,
) -> tuple[dict[str, float], Pictures]:
  """Scores predictions of a split; each host takes its share of the examples.

  Args:
    evaluation: the split, from `experiment.evaluation`.
    predict: from the examples to (example, prediction), in any order.
    look: every host calls it as often as the others, at its images, and may be
      ended by what it raises.
    seen: called with each example of this host and its prediction, once they
      are scored.

  Returns:
    Scores by name, over all hosts, and pictures by name, [H, W, 3] uint8.

  Raises:
    ValueError: names the example that is at fault.
  """
  dataset = evaluation.dataset
  # The hosts' shares differ by one image if there is a remainder.
  longest_share = -(-len(dataset) // hosts.count())
  places = {}

  def examples():
    count = 0
    for example in evaluation.examples():
      look()
      places[example['name']] = hosts.index() + count * hosts.count()
      count += 1
      yield example
    for _ in range(count, longest_share):
      look()

  def predictions():
    with explained(dataset, places):
      yield from predict(examples())

  scores = _Scores(evaluation)
  panels = {}
  start = time.monotonic()
  tracked = progress.track(
      predictions(), len(dataset) // hosts.count(), 'Evaluating'
  )
  for count, (example, prediction) in enumerate(tracked):
    with explained(dataset, places, example['name']):
      scores.add(places[example['name']], example, prediction)
      if count < evaluation.num_pictures:
        panels[f'panel_{count}'] = scores.total.draw(example, prediction)
        if 'unrefined' in prediction:
          refined = scores.total.draw_refined(example, prediction)
          panels[f'refined_{count}'] = refined
      seen(example, prediction)
  scores.gather()
  seconds = time.monotonic() - start
  speed = {'images_per_second': len(dataset) / seconds}
  return scores.compute() | speed, panels | scores.total.pictures()


class _Scores:
  """Scores of a split, and apart those of each set that is mixed in it."""

  def __init__(self, evaluation):
    self.total = evaluation.scores()
    self._dataset = evaluation.dataset
    sources = self._dataset.sources
    self._apart = {
        name: evaluation.scores() for name in sources if len(sources) > 1
    }

  def add(self, index, example, prediction):
    """Counts the prediction of the example of the split with this index."""
    self.total.add(example, prediction)
    if self._apart:
      self._apart[self._dataset.source(index)].add(example, prediction)

  def gather(self):
    """Sums over processes."""
    for scores in (self.total, *self._apart.values()):
      scores.gather()

  def compute(self):
    """Returns all scores by name, those of a set as 'sets/SET/NAME'."""
    computed = self.total.compute()
    for name, scores in self._apart.items():
      of_set = scores.compute()
      computed |= {f'sets/{name}/{key}': x for key, x in of_set.items()}
    return computed


@contextlib.contextmanager
def explained(
    dataset: datasets.Dataset, places: Mapping[str, int], name: str = ''
) -> Iterator[None]:
  """Names the example in an error that does not.

  Args:
    dataset: the split.
    places: indices of the examples that were read, by name, in their order.
    name: of the example; by default the last that was read.
  """
  try:
    yield
  except ValueError as error:
    name = name or next(reversed(places), '')
    if not name or name in str(error):
      raise
    where = dataset.where(places[name])
    raise ValueError(f'{name} ({where}): {error}') from error


def describe(evaluation: Evaluation, scores: dict[str, float]) -> str:
  """Returns the lines in which scores are told, with one for each source."""
  best = evaluation.task.BEST
  lines = [evaluation.scores().describe(scores)]
  for name, value in scores.items():
    if name.startswith('sets/') and name.endswith(f'/{best}'):
      source = name.removeprefix('sets/').removesuffix(f'/{best}')
      lines.append(f'  {best} of {source} alone  {value:.4f}')
  return '\n'.join(lines)


def run(config, workdir):
  """Evaluates the best checkpoint of a workdir; `--mode=eval`."""
  hosts.from_first(workdir.check, config, 'model')
  dataset = experiment.eval_dataset(config)
  system = experiment.system(config, dataset.label_map)
  values = hosts.from_first(workdir.read_values)
  step, variables = hosts.from_first(checkpoint.best, workdir.checkpoints)
  temperature = config.predict.temperature or hosts.from_first(
      workdir.read_temperature, step
  )
  setup = experiment.evaluation(config, system, dataset, values, temperature)
  scores, drawn = score(setup, setup.predictor(variables))
  hosts.from_first(workdir.write_pictures, f'eval-{dataset.split}', drawn)
  about = experiment.about(config, dataset.label_map)
  path = hosts.from_first(workdir.write_score, about, step, scores)
  logging.info(
      'Step %d on %s: %s\nThe score is in %s, pictures in %s.',
      step,
      dataset.split,
      describe(setup, scores),
      path,
      workdir.pictures,
  )
  return scores


def run_exported(config, workdir, path) -> dict[str, float]:
  """Scores an exported model on the split, beside the run that it is of.

  Args:
    config: of the run, which names the split.
    workdir: of the run.
    path: of the file that `segjax.export` wrote.

  Returns:
    The scores of the exported model, by name.

  Raises:
    ValueError: the model was exported from a run of other classes.
  """
  model = ExportedPredictor(path)
  return _compare(config, workdir, model, f'{path}, of step {model.step}')


def run_ensemble(config, workdir, others) -> dict[str, float]:
  """Scores a run together with others on the split, beside the run alone.

  Args:
    config: of the run, which names the split and says how all predict.
    workdir: of the run.
    others: workdirs of the other runs.

  Returns:
    The scores of the mean of their probabilities, by name.

  Raises:
    ValueError: the runs do not predict the same, or no probabilities.
  """
  model = Ensemble([workdir.path, *others], **config.predict.to_dict())
  title = f'The ensemble of {len(model.members)} runs'
  return _compare(config, workdir, model, title)


def _compare(config, workdir, model, title):
  """Scores what predicts images on the split, and tells the run's score, too.

  Args:
    config: of the run.
    workdir: of the run.
    model: an `ExportedPredictor` or an `Ensemble`.
    title: name of the model in the log.
  """
  dataset = experiment.eval_dataset(config)
  if difference := model.label_map.difference(dataset.label_map):
    raise ValueError(
        f'{title} has other classes than {dataset.split!r}: {difference}. Give'
        ' the --config of the run that it is of.'
    )
  setup = experiment.evaluation_of_images(config, model.task, dataset)
  scores, _ = score(setup, model.stream)
  logging.info('%s on %s: %s', title, dataset.split, describe(setup, scores))
  best = model.task.BEST
  if before := hosts.from_first(workdir.read_score, dataset.split):
    logging.info(
        '%s of the run at step %d: %.4f; %s: %.4f.',
        best,
        before['step'],
        before[best],
        title,
        scores[best],
    )
  return scores
