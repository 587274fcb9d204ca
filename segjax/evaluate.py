"""One pass over a split: scores at the labels' own sizes, and pictures."""

import time

from absl import logging

from segjax import checkpoint
from segjax import experiment
from segjax import inference
from segjax import metrics
from segjax import parallel
from segjax import pictures
from segjax import progress
from segjax.data import pipeline
from segjax.evaluation import semantic


def evaluate(config, forward, variables, dataset, *, num_pictures=0):
  """Scores a model on this host's share of a data set, then over all hosts.

  Args:
    config: the run's.
    forward: from `experiment.make_forward`.
    variables: of the model.
    dataset: what to evaluate on.
    num_pictures: how many of the first examples to draw.

  Returns:
    Scores by name, and pictures by name, [H, W, 3] uint8.
  """
  label_map = dataset.label_map
  examples = pipeline.eval_examples(
      dataset,
      config.preprocess.eval,
      num_hosts=parallel.num_hosts(),
      host=parallel.host(),
      threads=config.threads,
  )
  predictions = inference.predict(
      lambda images: forward(variables, images),
      examples,
      experiment.inference(config),
  )
  kind = metrics.semantic(label_map.names, config.absent)
  total, panels = kind.empty(), {}
  start = time.monotonic()
  for example, labels, _ in progress.track(
      predictions, len(dataset) // parallel.num_hosts(), 'Evaluating'
  ):
    total = total.merge(
        kind.single_from_model_output(prediction=labels, label=example['label'])
    )
    if len(panels) < num_pictures:
      panels[f'panel_{len(panels)}'] = pictures.panel(
          example['raw'], example['label'], labels, label_map
      )
  seconds = time.monotonic() - start
  total = total.gather()
  scores = total.compute() | {'images_per_second': len(dataset) / seconds}
  heat_map = pictures.confusion(total.confusion.counts, label_map.names)
  return scores, panels | {'confusion': heat_map}


def describe(scores, absent):
  """Returns the lines in which scores are told."""
  per_class = {k[4:]: v for k, v in scores.items() if k.startswith('IoU/')}
  width = max(map(len, per_class))
  lines = [f'  {name:<{width}}  {iou:7.4f}' for name, iou in per_class.items()]
  return (
      f'mIoU {scores["mIoU"]:.4f} ({semantic.ABSENT[absent]}), boundary IoU'
      f' {scores["boundary_IoU"]:.4f}, mean accuracy'
      f' {scores["mean_accuracy"]:.4f}, accuracy {scores["accuracy"]:.4f},'
      f' frequency-weighted IoU {scores["fwIoU"]:.4f}, Dice'
      f' {scores["dice"]:.4f}; IoU per class:\n' + '\n'.join(lines)
  )


def run(config, workdir):
  """Evaluates the best checkpoint of a workdir; `--mode=eval`."""
  dataset = experiment.dataset(config, config.dataset.eval_split)
  step, variables = checkpoint.best(workdir.checkpoints)
  scores, drawn = evaluate(
      config,
      experiment.make_forward(config, dataset.label_map.num_classes),
      variables,
      dataset,
      num_pictures=config.num_pictures,
  )
  workdir.write_pictures(f'eval-{dataset.split}', drawn)
  score = workdir.write_score(config, step, scores)
  logging.info(
      'Step %d on %s: %s\nThe score is in %s, pictures in %s.',
      step,
      dataset.split,
      describe(scores, config.absent),
      score,
      workdir.pictures,
  )
  return scores
