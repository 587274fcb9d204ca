"""One pass over a split: scores at the labels' own sizes, and pictures."""

import time

from absl import logging

from segjax import experiment
from segjax import inference
from segjax import parallel
from segjax.artifacts import checkpoint
from segjax.artifacts import pictures
from segjax.data import pipeline
from segjax.evaluation import collections
from segjax.evaluation import semantic
from segjax.runtime import hosts
from segjax.runtime import progress


def make(config, dataset):
  """Returns `evaluate(variables)`, which scores a model on a data set.

  Whatever the config says of it is checked here: a mistake must not show at the
  first evaluation, after hours of training.

  Args:
    config: the run's.
    dataset: what to evaluate on; each host takes its share.

  Returns:
    A function from the variables of the model to scores by name, over all
    hosts, and pictures by name, [H, W, 3] uint8.
  """
  if config.absent not in semantic.ABSENT:
    raise ValueError(
        f'config.absent={config.absent!r} is not one of'
        f' {tuple(semantic.ABSENT)}.'
    )
  experiment.check_inputs(config, dataset)
  label_map = dataset.label_map
  forward = experiment.make_forward(
      config, label_map.num_classes, dataset.channels
  )
  options = experiment.inference(config, label_map.num_classes)
  kind = collections.semantic(
      label_map.names, config.absent, dataset.boundary_class
  )

  read = experiment.in_time(config, dataset)

  def examples():
    return pipeline.eval_examples(
        read,
        config.preprocess.eval,
        num_hosts=hosts.count(),
        host=hosts.index(),
        threads=config.threads,
    )

  examples()  # Reads nothing yet, but the spec.

  def evaluate(variables):
    variables = parallel.local(variables)
    predictions = inference.predict(
        lambda images: forward(variables, images), examples(), options
    )
    total, panels = kind.empty(), {}
    start = time.monotonic()
    for example, labels, _ in progress.track(
        predictions, len(dataset) // hosts.count(), 'Evaluating'
    ):
      label = example['label']
      total = total.merge(
          kind.single_from_model_output(prediction=labels, label=label)
      )
      if len(panels) < config.num_pictures:
        panels[f'panel_{len(panels)}'] = pictures.panel(
            example['raw'], label, labels, label_map
        )
    total = total.gather()
    seconds = time.monotonic() - start
    scores = total.compute() | {'images_per_second': len(dataset) / seconds}
    heat_map = pictures.confusion(total.confusion.counts, label_map.names)
    return scores, panels | {'confusion': heat_map}

  return evaluate


def describe(scores, absent):
  """Returns the lines in which scores are told."""
  per_class = {k[4:]: v for k, v in scores.items() if k.startswith('IoU/')}
  width = max(map(len, per_class))
  regions = ''
  if 'V_rand' in scores:
    regions = (
        f', Rand error {scores["rand_error"]:.4f} (V_rand'
        f' {scores["V_rand"]:.4f}), V_info {scores["V_info"]:.4f}, pixel error'
        f' {scores["pixel_error"]:.4f}'
    )
  lines = [f'  {name:<{width}}  {iou:7.4f}' for name, iou in per_class.items()]
  return (
      f'mIoU {scores["mIoU"]:.4f} ({semantic.ABSENT[absent]}), boundary IoU'
      f' {scores["boundary_IoU"]:.4f}, mean accuracy'
      f' {scores["mean_accuracy"]:.4f}, accuracy {scores["accuracy"]:.4f},'
      f' frequency-weighted IoU {scores["fwIoU"]:.4f}, Dice'
      f' {scores["dice"]:.4f}{regions}; IoU per class:\n' + '\n'.join(lines)
  )


def run(config, workdir):
  """Evaluates the best checkpoint of a workdir; `--mode=eval`."""
  hosts.from_first(workdir.check, config, 'model')
  dataset = experiment.dataset(config, config.dataset.eval_split)
  evaluate = make(config, dataset)
  step, variables = hosts.from_first(checkpoint.best, workdir.checkpoints)
  scores, drawn = evaluate(variables)
  hosts.from_first(workdir.write_pictures, f'eval-{dataset.split}', drawn)
  score = hosts.from_first(workdir.write_score, config, step, scores)
  logging.info(
      'Step %d on %s: %s\nThe score is in %s, pictures in %s.',
      step,
      dataset.split,
      describe(scores, config.absent),
      score,
      workdir.pictures,
  )
  return scores
