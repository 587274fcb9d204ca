"""Labels for images.

  python -m segjax.predict --workdir=runs/deeplabv3 IMAGES --output=DIR

The same as a function:

  predict = segjax.predict.load('runs/deeplabv3', flip=True)
  labels, probabilities = predict(image)

A system that samples, such as bayesian_segnet, says how sure it is, too, by the
variance of probabilities: in NAME_uncertainty.png, see `pictures.uncertainty`,
and, with --probabilities, NAME_uncertainty.npz. In Python:

  labels, probabilities, variance = predict.with_variance(image)

Systems on region proposals read them from --proposals=DIR/NAME.npz, or take
them as `predict(image, regions)`.
"""

import dataclasses
import json
import time

from absl import app
from absl import flags
from absl import logging
from etils import epath
import numpy as np

from segjax import experiment
from segjax import inference
from segjax import specs
from segjax import steps
from segjax.artifacts import checkpoint
from segjax.artifacts import pictures
from segjax.artifacts.workdir import Workdir
from segjax.data import image as images
from segjax.data import label_map as label_maps
from segjax.data import proposals as proposal_files
from segjax.data import transforms
from segjax.inference import boxes as box_inference
from segjax.ops.resize import resize
from segjax.runtime import compile_cache
from segjax.runtime import malloc
from segjax.runtime import progress
from segjax.runtime import terminal

_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
_OUTPUT = flags.DEFINE_string('output', None, 'Folder for the predictions.')
_PROPOSALS = flags.DEFINE_string(
    'proposals', '', 'Folder of NAME.npz with regions, for systems on those.'
)
_PROBABILITIES = flags.DEFINE_bool(
    'probabilities',
    False,
    'Also writes NAME.npz, [H, W, K] float16; of a system that samples, also'
    ' the variance, NAME_uncertainty.npz.',
)
_OPTIONS = flags.DEFINE_string(
    'options',
    '',
    'Options of prediction that differ from those of the run, as in'
    ' "flip=True, scales=(0.75, 1.0)"; they are in config.predict.',
)


class Predictor:
  """A trained model and what its run did to images.

  Attributes:
    label_map: names and colours of the classes.
    step: of the checkpoint, the best of the run.
    samples: whether the system samples, and variance is predicted too.
  """

  def __init__(self, workdir, **options):
    """Loads the best checkpoint.

    Args:
      workdir: of the run.
      **options: fields of `config.predict` to change.

    Raises:
      FileNotFoundError: there is no run, or no checkpoint, in `workdir`.
      ValueError: there is no such option, or it is of another type.
    """
    workdir = Workdir(workdir)
    config = workdir.read_config()
    _change(config.predict, options)
    labels = json.loads(workdir.labels.read_text())
    self.label_map = label_maps.LabelMap(
        names=tuple(labels['names']),
        colors=tuple(map(tuple, labels['colors'])),
        ids={i: i for i in range(len(labels['names']))},
    )
    self.step, self._variables = checkpoint.best(workdir.checkpoints)
    self._channels = labels['channels']
    self._ops = transforms.parse(config.preprocess.eval)
    num_classes = self.label_map.num_classes
    self.samples = experiment.sampler(config) is not None
    self._forward = experiment.make_forward(
        config, num_classes, self._channels, variance=self.samples
    )
    self._options = experiment.inference(config, num_classes)
    self._least = experiment.layout(config).groups(local=True)  # Of images.
    # How many regions of a file it reads; 0 if it reads none.
    self.proposals = 0
    if 'regions' in steps.inputs(experiment.model(config, num_classes)):
      self.proposals = config.dataset.options.proposals

  def __call__(self, image, regions=None):
    """Predicts one image.

    Args:
      image: [H, W, C] or, if grey, [H, W]; as it would be read from a file of
        the kind that the model was trained on, uint8 for instance.
      regions: [H, W, N], 0 or 1, any number; for a model that reads those.

    Returns:
      labels [H, W] uint8, class ids; probabilities [H, W, K] float32.
    """
    _, labels, probabilities = self._one(image, regions)
    return labels, probabilities

  def with_variance(self, image):
    """Predicts one image and how sure that is.

    Args:
      image: as above.

    Returns:
      labels and probabilities as above; variance of each class's probability
      over the samples, [H, W, K] float32.

    Raises:
      ValueError: the system does not sample.
    """
    if not self.samples:
      raise ValueError(
          'This system predicts no variance: it does not sample, as'
          ' bayesian_segnet does.'
      )
    example, labels, probabilities = self._one(image)
    return labels, probabilities, example['variance']

  def by_boxes(self, image, boxes, **options):
    """Predicts one image object by object; see `inference.boxes.segment`.

    Args:
      image: as above.
      boxes: [N, 4] in pixels of the image, y0 x0 y1 x1, ends exclusive.
      **options: `size` and `enlarge` of `inference.boxes.segment`.

    Returns:
      labels [H, W] uint8; scores [H, W, K] float32, the greatest over boxes.
    """
    example = self._prepare(_example(image))
    ready, size = example['image'], example['size']
    ratio = np.divide(ready.shape[:2], size)
    num_classes = self.label_map.num_classes
    scores = box_inference.segment(
        lambda x: self._forward(self._variables, x)[..., :num_classes],
        ready,
        np.asarray(boxes) * np.tile(ratio, 2),
        batch_size=self._least,
        **options,
    )
    scores = resize(scores[None], size)[0]
    return scores.argmax(-1).astype(np.uint8), np.asarray(scores)

  def _one(self, image, regions=None):
    example = _example(image)
    if regions is not None:
      example['regions'] = np.asarray(regions)
    one = dataclasses.replace(self._options, batch_size=self._least)
    (found,) = self.stream([example], True, one)
    return found

  def stream(self, examples, probabilities=False, options=None):
    """Predicts many images, in batches.

    Args:
      examples: of {'image': [H, W, C], 'name': str, ...}, with 'regions'
        [H, W, N] if the model reads those.
      probabilities: whether to return those too.
      options: an `Inference`, if not the run's.

    Yields:
      (example, labels, probabilities or None), not always in order. If the
      system samples, the example has their 'variance'.
    """
    num_classes = self.label_map.num_classes
    for example, labels, soft in inference.predict(
        lambda batch: self._forward(self._variables, batch),
        map(self._prepare, examples),
        options or self._options,
        probabilities or self.samples,
        extra=num_classes if self.samples else 0,
    ):
      if self.samples:
        soft, example['variance'] = np.split(soft, [num_classes], -1)
      yield example, labels, soft if probabilities else None

  def _prepare(self, example):
    raw = images.with_channels(
        example['image'], self._channels, example['name']
    )
    ready = {'image': raw}
    if 'regions' in example and not self.proposals:
      raise ValueError(f'{example["name"]}: this system reads no regions.')
    if self.proposals:
      ready['regions'] = self._regions(example)
    ready = transforms.apply(self._ops, ready)
    return {**example, **ready, 'raw': raw, 'size': raw.shape[:2]}

  def _regions(self, example):
    """Returns the regions of an example, uint8."""
    size, regions = example['image'].shape[:2], example.get('regions')
    if regions is None:
      raise ValueError(
          f'{example["name"]}: this system segments by region proposals; give'
          ' regions [H, W, N] beside the image, or --proposals=DIR with'
          ' NAME.npz for each image.'
      )
    if regions.ndim != 3 or regions.shape[:2] != size or not regions.size:
      raise ValueError(
          f'{example["name"]}: regions of an image of {size[0]}x{size[1]} are'
          f' [{size[0]}, {size[1]}, N], these {list(regions.shape)}.'
      )
    return (regions > 0).astype(np.uint8)


def _example(image):
  image = np.asarray(image)
  return {'image': image.reshape(*image.shape[:2], -1), 'name': 'image'}


def load(workdir, **options):
  """Returns the `Predictor` of a workdir; see there."""
  return Predictor(workdir, **options)


def _change(config, options):
  known = sorted(f.name for f in dataclasses.fields(inference.Inference))
  for name, value in options.items():
    if name not in known:
      raise ValueError(
          f'There is no option {name!r} of prediction. Known:'
          f' {", ".join(known)}.'
      )
    try:
      config[name] = value
    except TypeError as error:
      raise ValueError(f'The option {name}={value!r}: {error}.') from error


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


def write(predictor, paths, output, *, probabilities=False, proposals=''):
  """Predicts image files and writes NAME.png and NAME_overlay.png for each.

  NAME.png holds class ids, with the classes' colours as palette.

  Args:
    predictor: a `Predictor`.
    paths: images, and folders of images.
    output: folder to write to.
    probabilities: whether to write NAME.npz, too.
    proposals: folder of NAME.npz with regions, for a model that reads those.

  Raises:
    FileNotFoundError: an image is missing.
    ValueError: a file would be overwritten, or is not what it should be.
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

  def read(path):
    example = {'image': images.read_image(path), 'name': path.stem}
    if proposals:
      example['regions'] = proposal_files.read(
          epath.Path(proposals) / f'{path.stem}.npz',
          example['image'].shape[:2],
          predictor.proposals,
      )
    return example

  start = first = time.monotonic()
  for example, labels, soft in progress.track(
      predictor.stream(map(read, paths), probabilities),
      len(paths),
      'Predicting',
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
    if predictor.samples:
      variance = example['variance']
      stem = f'{name}_uncertainty'
      images.write_png(output / f'{stem}.png', pictures.uncertainty(variance))
      if probabilities:
        with (output / f'{stem}.npz').open('wb') as file:
          np.savez_compressed(file, variance=variance.astype(np.float16))
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
  with terminal.errors_in_words():
    if len(argv) < 2:
      raise ValueError('Name at least one image, or a folder of images.')
    malloc.tune()
    compile_cache.enable()
    compile_cache.relax_gc()
    options = specs.options(_OPTIONS.value)
    predictor = load(_WORKDIR.value, **options)
    write(
        predictor,
        argv[1:],
        _OUTPUT.value,
        probabilities=_PROBABILITIES.value,
        proposals=_PROPOSALS.value,
    )


if __name__ == '__main__':
  flags.mark_flags_as_required(['workdir', 'output'])
  app.run(main, flags_parser=terminal.parse_flags)
