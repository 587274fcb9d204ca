"""Labels for images.

  python -m segjax.predict --workdir=runs/deeplabv3 IMAGES --output=DIR

The same as a function:

  predict = segjax.predict.load('runs/deeplabv3')
  labels, probabilities = predict(image)
"""

import dataclasses
import json
import time

from absl import app
from absl import flags
from absl import logging
from etils import epath
import numpy as np

from segjax import checkpoint
from segjax import console
from segjax import experiment
from segjax import inference
from segjax import parallel
from segjax import pictures
from segjax import progress
from segjax.data import image as images
from segjax.data import label_map as label_maps
from segjax.data import transforms
from segjax.workdir import Workdir

_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
_OUTPUT = flags.DEFINE_string('output', None, 'Folder for the predictions.')
_PROBABILITIES = flags.DEFINE_bool(
    'probabilities', False, 'Also writes NAME.npz, [H, W, K] float16.'
)


class Predictor:
  """A trained model and what its run did to images.

  Attributes:
    label_map: names and colours of the classes.
    step: of the checkpoint, the best of the run.
  """

  def __init__(self, workdir):
    """Loads the best checkpoint.

    Raises:
      FileNotFoundError: there is no run, or no checkpoint, in `workdir`.
    """
    workdir = Workdir(workdir)
    config = workdir.read_config()
    labels = json.loads(workdir.labels.read_text())
    self.label_map = label_maps.LabelMap(
        names=tuple(labels['names']),
        colors=tuple(map(tuple, labels['colors'])),
        ids={i: i for i in range(len(labels['names']))},
    )
    self.step, self._variables = checkpoint.best(workdir.checkpoints)
    self._channels = labels['channels']
    self._ops = transforms.parse(config.preprocess.eval)
    self._forward = experiment.make_forward(config, len(labels['names']))
    self._options = experiment.inference(config)

  def __call__(self, image):
    """Predicts one image.

    Args:
      image: [H, W, C] or, if grey, [H, W]; as it would be read from a file of
        the kind that the model was trained on, uint8 for instance.

    Returns:
      labels [H, W] uint8, class ids; probabilities [H, W, K] float32.
    """
    image = np.asarray(image)
    example = {'image': image.reshape(*image.shape[:2], -1), 'name': 'image'}
    one = dataclasses.replace(
        self._options, batch_size=parallel.count(local=True)
    )
    ((_, labels, probabilities),) = self.stream([example], True, one)
    return labels, probabilities

  def stream(self, examples, probabilities=False, options=None):
    """Predicts many images, in batches.

    Args:
      examples: of {'image': [H, W, C], 'name': str, ...}.
      probabilities: whether to return those too.
      options: an `Inference`, if not the run's.

    Yields:
      (example, labels, probabilities or None), not always in order.
    """
    return inference.predict(
        lambda batch: self._forward(self._variables, batch),
        map(self._prepare, examples),
        options or self._options,
        probabilities,
    )

  def _prepare(self, example):
    raw = images.with_channels(
        example['image'], self._channels, example['name']
    )
    ready = transforms.apply(self._ops, {'image': raw})['image']
    return {**example, 'image': ready, 'raw': raw, 'size': raw.shape[:2]}


def load(workdir):
  """Returns the `Predictor` of a workdir."""
  return Predictor(workdir)


def find_images(paths):
  """Returns the image files among `paths` and in the folders among them."""
  found = []
  for path in map(epath.Path, paths):
    if path.is_dir():
      inside = sorted(
          file
          for file in path.iterdir()
          if file.suffix.lower() in images.SUFFIXES
      )
      if not inside:
        raise FileNotFoundError(
            f'There are no images in {path}; looked for'
            f' {", ".join(sorted(images.SUFFIXES))}.'
        )
      found += inside
    elif path.exists():
      found.append(path)
    else:
      raise FileNotFoundError(f'There is no image {path}.')
  stems = [path.stem for path in found]
  if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
    raise ValueError(
        'These images would be written to the same file:'
        f' {", ".join(twice)}. Predict them in several calls.'
    )
  return found


def write(predictor, paths, output, *, probabilities=False):
  """Predicts image files and writes NAME.png and NAME_overlay.png for each.

  NAME.png holds class ids, with the classes' colours as palette.

  Raises:
    FileNotFoundError: an image is missing.
    ValueError: a file would be overwritten.
  """
  output = epath.Path(output)
  paths = find_images(paths)
  output.mkdir(parents=True, exist_ok=True)
  taken = [
      path
      for path in (output / f'{source.stem}.png' for source in paths)
      if path.exists()
  ]
  if taken:
    raise ValueError(
        f'{taken[0]} exists already, and so do {len(taken) - 1} others: choose'
        ' another --output.'
    )
  examples = (
      {'image': images.read_image(path), 'name': path.stem} for path in paths
  )
  start = first = time.monotonic()
  for example, labels, soft in progress.track(
      predictor.stream(examples, probabilities), len(paths), 'Predicting'
  ):
    if first == start:
      first = time.monotonic()
    name = example['name']
    images.write_png(
        output / f'{name}.png', labels, palette=predictor.label_map.colors
    )
    images.write_png(
        output / f'{name}_overlay.png',
        pictures.overlay(example['raw'], labels, predictor.label_map),
    )
    if probabilities:
      with (output / f'{name}.npz').open('wb') as file:
        np.savez_compressed(file, probabilities=soft.astype(np.float16))
  seconds = time.monotonic() - start
  logging.info(
      '%d images in %.1f s, from file to file: %.2f images/s. The first took'
      ' %.1f s, with compiling. They are in %s.',
      len(paths),
      seconds,
      len(paths) / seconds,
      first - start,
      output,
  )


def main(argv):
  """Predicts what the flags say."""
  with console.errors_in_words():
    if len(argv) < 2:
      raise ValueError('Name at least one image, or a folder of images.')
    predictor = load(_WORKDIR.value)
    write(
        predictor, argv[1:], _OUTPUT.value, probabilities=_PROBABILITIES.value
    )


if __name__ == '__main__':
  flags.mark_flags_as_required(['workdir', 'output'])
  app.run(main, flags_parser=console.parse_flags)
