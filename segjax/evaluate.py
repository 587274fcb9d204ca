"""One pass over a split: scores at the labels' own sizes, and pictures."""

from collections.abc import Callable
import time

from absl import logging
import numpy as np

from segjax import experiment
from segjax import parallel
from segjax.artifacts import checkpoint
from segjax.experiment import Evaluation
from segjax.inference import whole
from segjax.runtime import hosts
from segjax.runtime import progress

Pictures = dict[str, np.ndarray]


def make(setup: Evaluation) -> Callable:
  """Returns `evaluate(variables)`, which scores a model on a split.

  Args:
    setup: from `experiment.evaluation`; each host takes its share of the split.

  Returns:
    A function from the variables of the model to scores by name, over all
    hosts, and pictures by name, [H, W, 3] uint8.
  """
  dataset, task = setup.dataset, setup.system.task

  def evaluate(variables) -> tuple[dict[str, float], Pictures]:
    variables = parallel.local(variables)
    predictions = whole.predict_by_task(
        task,
        lambda batch: setup.forward(variables, batch),
        setup.examples(),
        setup.options,
    )
    scores = task.scores(setup.system.label_map, absent=setup.absent)
    panels = {}
    start = time.monotonic()
    for example, prediction in progress.track(
        predictions, len(dataset) // hosts.count(), 'Evaluating'
    ):
      scores.add(example, prediction)
      if len(panels) < setup.num_pictures:
        panels[f'panel_{len(panels)}'] = scores.draw(example, prediction)
    scores.gather()
    seconds = time.monotonic() - start
    speed = {'images_per_second': len(dataset) / seconds}
    return scores.compute() | speed, panels | scores.pictures()

  return evaluate


def describe(setup: Evaluation, scores: dict[str, float]) -> str:
  """Returns the lines in which scores are told."""
  empty = setup.system.task.scores(setup.system.label_map, absent=setup.absent)
  return empty.describe(scores)


def run(config, workdir):
  """Evaluates the best checkpoint of a workdir; `--mode=eval`."""
  hosts.from_first(workdir.check, config, 'model')
  dataset = experiment.eval_dataset(config)
  system = experiment.system(config, dataset.label_map)
  setup = experiment.evaluation(config, system, dataset)
  step, variables = hosts.from_first(checkpoint.best, workdir.checkpoints)
  scores, drawn = make(setup)(variables)
  hosts.from_first(workdir.write_pictures, f'eval-{dataset.split}', drawn)
  about = experiment.about(config, dataset.label_map)
  score = hosts.from_first(workdir.write_score, about, step, scores)
  logging.info(
      'Step %d on %s: %s\nThe score is in %s, pictures in %s.',
      step,
      dataset.split,
      describe(setup, scores),
      score,
      workdir.pictures,
  )
  return scores
