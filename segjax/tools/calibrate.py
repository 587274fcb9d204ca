r"""Finds the temperature at which the probabilities of a run can be trusted.

  python -m segjax.tools.calibrate --workdir=runs/voc

The temperature is that of the least negative log-likelihood on the split that
the run is evaluated on. It is written to calibration.json in the workdir,
segjax.predict, segjax.export and --mode=eval use it from then on, and
--options='temperature=1.0' predicts without it. Printed, and drawn in
calibration.png, is how far confidence and accuracy are apart before and after:
the expected calibration error, the mean difference over 15 bins of confidence.
The most probable class of a pixel stays the same.
"""

import dataclasses
import math
from typing import Any

from absl import app
from absl import flags
from absl import logging
import numpy as np

from segjax import experiment
from segjax.artifacts import diagrams
from segjax.artifacts import pictures
from segjax.artifacts.workdir import Workdir
from segjax.data import image as images
from segjax.data.label_map import IGNORE
from segjax.evaluation import calibration
from segjax.predictor import Predictor
from segjax.runtime import atomic
from segjax.runtime import progress
from segjax.runtime import startup
from segjax.runtime import terminal

PIXELS = 200_000


@dataclasses.dataclass(frozen=True)
class Calibration:
  """A temperature, and what it changes.

  Attributes:
    about: what calibration.json holds: the `temperature`, the `step` of the
      checkpoint, the `split`, and scores `before` and `after`.
    before: reliability at temperature 1.
    after: reliability at the temperature.
  """

  about: dict[str, Any]
  before: calibration.Reliability
  after: calibration.Reliability


def calibrate(
    workdir: Workdir, split: str = '', pixels: int = PIXELS
) -> Calibration:
  """Returns the temperature for the best checkpoint of a run.

  Args:
    workdir: of the run.
    split: of its data set; '' takes what the run is evaluated on.
    pixels: number of pixels to look at, equally many of each image, drawn by
      the seed of the run.

  Raises:
    ValueError: the system predicts no probabilities of pixels, or no pixel has
      a label.
  """
  config = workdir.read_config()
  task = experiment.task(config)
  if not task.PER_PIXEL:
    raise ValueError(
        f'{workdir.path}: the task {config.task} predicts no probabilities of'
        ' pixels, which a temperature is for.'
    )
  predictor = Predictor(workdir.path, temperature=1.0)
  dataset = (
      experiment.dataset(config, split)
      if split
      else experiment.eval_dataset(config)
  )
  if difference := dataset.label_map.difference(predictor.label_map):
    raise ValueError(
        f'{dataset.split!r} has other classes than the run: {difference}. Did'
        ' dataset.json change after the training?'
    )
  logs, right = calibration.log_probabilities(
      *_sample(predictor, dataset, pixels, config.seed),
      predictor.label_map.overlapping,
      IGNORE,
  )
  if not len(right):
    raise ValueError(f'No pixel of {dataset.split!r} has a label.')
  temperature = calibration.fit(logs, right)
  low, high = calibration.RANGE
  if not 1.01 * low < temperature < 0.99 * high:
    logging.warning(
        'The temperature is at an end of its range, %g to %g: the predictions'
        ' on this split say little about their confidence, as those of images'
        ' that were trained on, or of very few.',
        *calibration.RANGE,
    )
  before = calibration.reliability(logs, right)
  after = calibration.reliability(logs, right, temperature)
  about = {
      'temperature': temperature,
      'step': predictor.step,
      'split': dataset.split,
      'images': len(dataset),
      'decisions': len(right),
  }
  for name, found, t in (
      ('before', before, 1.0),
      ('after', after, temperature),
  ):
    about[name] = {
        'ECE': found.error,
        'NLL': calibration.negative_log_likelihood(logs, right, t),
        'confidence': float(found.counts @ found.confidence / len(right)),
        'accuracy': float(found.counts @ found.accuracy / len(right)),
    }
  return Calibration(about, before, after)


def _sample(predictor, dataset, pixels, seed):
  """Returns probabilities and labels of pixels, in the order of the images.

  Args:
    predictor: what predicts the probabilities.
    dataset: its examples.
    pixels: how many there are, equally many of each image.
    seed: of the choice.

  Returns:
    [N, K], and [N] or, where classes overlap, [N, K].
  """
  of_image = math.ceil(pixels / len(dataset))
  overlapping = predictor.label_map.overlapping

  def examples():
    for i in range(len(dataset)):
      example = dataset[i]
      truth = {'truth': example['label'], 'index': i}
      yield predictor.select(example) | truth

  drawn = {}
  for example, prediction in progress.track(
      predictor.stream(examples(), probabilities=True),
      len(dataset),
      'Calibrating',
  ):
    label, index = example['truth'], example['index']
    label = label.reshape(-1, label.shape[2]) if overlapping else label.ravel()
    probabilities = prediction['probabilities']
    probabilities = probabilities.reshape(-1, probabilities.shape[-1])
    known = label != IGNORE
    places = np.flatnonzero(known.any(-1) if overlapping else known)
    # The order in which images are finished does not matter.
    rng = np.random.default_rng((seed, index))
    places = rng.permutation(places)[:of_image]
    drawn[index] = probabilities[places], label[places]
  in_order = [drawn[index] for index in sorted(drawn)]
  return tuple(map(np.concatenate, zip(*in_order, strict=True)))


def draw(found: Calibration) -> np.ndarray:
  """Returns the reliability before and after, side by side, [H, W, 3] uint8."""
  temperature = found.about['temperature']
  panels = [
      pictures.captioned(
          diagrams.reliability(r.counts, r.confidence, r.accuracy),
          f'{title}: ECE {100 * r.error:.1f} %',
      )
      for title, r in (
          ('T = 1', found.before),
          (f'T = {temperature:.3f}', found.after),
      )
  ]
  return pictures.grid(panels, columns=2)


def describe(about: dict[str, Any]) -> str:
  """Returns the lines that tell a calibration.

  Args:
    about: see `Calibration`.
  """
  rows = [
      f'{name:<12}{about["before"][name]:>9.4f}{about["after"][name]:>9.4f}'
      for name in about['before']
  ]
  return '\n'.join(
      [
          f'Temperature {about["temperature"]:.4f}, step {about["step"]}, by'
          f' {about["decisions"]} pixels of {about["images"]} images of'
          f' {about["split"]}',
          f'{"":<12}{"before":>9}{"after":>9}',
          *rows,
      ]
  )


def run(
    workdir: Workdir,
    split: str = '',
    pixels: int = PIXELS,
    replace: bool = False,
) -> Calibration:
  """Calibrates a run and writes the temperature and the picture beside it.

  Args:
    workdir: of the run.
    split: see `calibrate`.
    pixels: see `calibrate`.
    replace: whether another calibration is overwritten.

  Raises:
    ValueError: the run is calibrated already, or see `calibrate`.
  """
  picture = workdir.calibration.with_suffix('.png')
  for path in (workdir.calibration, picture):
    if path.exists() and not replace:
      raise ValueError(
          f'{path} exists already: this run is calibrated. Give --replace to'
          ' calibrate it anew.'
      )
  found = calibrate(workdir, split, pixels)
  images.write_png(picture, draw(found))
  atomic.write_json(workdir.calibration, found.about)
  return found


def main(argv):
  """Calibrates the run that the flags name, and prints what it changes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  with terminal.errors_in_words():
    startup.prepare()
    workdir = Workdir(_WORKDIR.value)
    found = run(workdir, _SPLIT.value, _PIXELS.value, _REPLACE.value)
    print(describe(found.about))
    logging.info(
        'It is in %s, and drawn in %s.',
        workdir.calibration,
        workdir.calibration.with_suffix('.png'),
    )


if __name__ == '__main__':
  _WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
  _SPLIT = flags.DEFINE_string(
      'split', '', 'Split of its data set; by default what it is evaluated on.'
  )
  _PIXELS = flags.DEFINE_integer(
      'pixels',
      PIXELS,
      'Number of pixels to look at, equally many of each image.',
      lower_bound=1,
  )
  _REPLACE = flags.DEFINE_bool(
      'replace', False, 'Whether another calibration is overwritten.'
  )
  flags.mark_flag_as_required('workdir')
  app.run(main, flags_parser=terminal.parse_flags)
