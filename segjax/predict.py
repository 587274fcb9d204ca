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
them as `predict(image, proposals=...)`, [H, W, N] of 0 and 1.
"""

import dataclasses
import time

from absl import app
from absl import flags
from absl import logging
from etils import epath
import numpy as np

from segjax import experiment
from segjax import specs
from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.data import fields
from segjax.data import image as images
from segjax.data import proposals as proposal_files
from segjax.data import transforms
from segjax.inference import boxes as box_inference
from segjax.inference import views
from segjax.inference import whole
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
    system: the `System` of the run.
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
    self.label_map, self._channels = workdir.read_labels()
    self.step, self._variables = checkpoint.best(workdir.checkpoints)
    self._ops = transforms.parse(config.preprocess.eval)
    self.system = experiment.system(config, self.label_map)
    self._forward = experiment.forward(config, self.system)
    self._options = experiment.inference(config, self.system)
    self._least = experiment.layout(config).groups(local=True)  # Of images.
    # How many proposals of a file are read, if any are.
    self.num_proposals = config.dataset.options.get('proposals', 0)

  def __call__(self, image, **more):
    """Predicts one image.

    Args:
      image: [H, W, C] or, if grey, [H, W]; as it would be read from a file of
        the kind that the model was trained on, uint8 for instance.
      **more: other fields that the model reads, by name, such as `proposals`
        [H, W, N], 0 or 1, any number of them.

    Returns:
      labels [H, W] uint8, class ids; probabilities [H, W, K] float32.

    Raises:
      ValueError: a field is lacking, or the model does not read it, or the
        task predicts something else than a label map: see `predict_one`.
    """
    if not self.system.task.PER_PIXEL:
      raise ValueError(
          'This system predicts no label map; call `predict_one`, which returns'
          ' all that it predicts by name.'
      )
    prediction = self.predict_one(image, **more)
    return prediction['labels'], prediction['probabilities']

  def predict_one(self, image, **more):
    """Returns all that is predicted of one image, arrays by name.

    Args:
      image: as above.
      **more: as above.
    """
    example = _example(image) | {k: np.asarray(v) for k, v in more.items()}
    one = dataclasses.replace(self._options, batch_size=self._least)
    ((_, prediction),) = self.stream([example], True, one)
    return prediction

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
    if not self.system.samples:
      raise ValueError(
          'This system predicts no variance: it does not sample, as'
          ' bayesian_segnet does.'
      )
    prediction = self.predict_one(image)
    return tuple(
        prediction[name] for name in ('labels', 'probabilities', 'variance')
    )

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
    rows, columns = example.get('content', ready.shape[:2])
    ratio = np.divide((rows, columns), size)
    scores = box_inference.segment(
        lambda x: self._forward(self._variables, {'image': x})['logits'],
        ready,
        np.asarray(boxes) * np.tile(ratio, 2),
        batch_size=self._least,
        **options,
    )
    scores = scores[None, : round(rows), : round(columns)]
    scores = resize(scores, size)[0]
    return scores.argmax(-1).astype(np.uint8), np.asarray(scores)

  def stream(self, examples, probabilities=False, options=None):
    """Predicts many images, in batches.

    Args:
      examples: of {'image': [H, W, C], 'name': str, ...}, with the other fields
        that the model reads.
      probabilities: whether to return those, too, of a task per pixel.
      options: an `Inference`, if not the run's.

    Yields:
      (example, prediction), not always in order; a prediction is a dict of
      arrays at the size of the image, see the task's `scores`.
    """
    yield from whole.predict_by_task(
        self.system.task,
        lambda batch: self._forward(self._variables, batch),
        map(self._prepare, examples),
        options or self._options,
        probabilities,
    )

  def _prepare(self, example):
    raw = images.with_channels(
        example['image'], self._channels, example['name']
    )
    ready = {'image': raw}
    for name in example.keys() & fields.FIELDS.keys() - {'image'}:
      ready[name] = self._field(example, name)
    fields.check(self.system.reads, ready, f'{example["name"]}: this system')
    ready = transforms.apply(self._ops, ready)
    return {**example, **ready, 'raw': raw, 'size': raw.shape[:2]}

  def _field(self, example, name):
    """Returns a field that is given beside the image, in the type of a batch.

    Raises:
      ValueError: the model does not read it, or it has another size than the
        image.
    """
    if name not in self.system.reads:
      raise ValueError(f'{example["name"]}: this system reads no {name}.')
    field, value = fields.FIELDS[name], example[name]
    size = example['image'].shape[:2]
    if field.kind.spatial and (value.shape[:2] != size or not value.size):
      raise ValueError(
          f'{example["name"]}: {name} of an image of {size[0]}x{size[1]} are'
          f' [{size[0]}, {size[1]}, ...], these {list(value.shape)}.'
      )
    return value.astype(field.dtype)


def _example(image):
  image = np.asarray(image)
  return {'image': image.reshape(*image.shape[:2], -1), 'name': 'image'}


def load(workdir, **options):
  """Returns the `Predictor` of a workdir; see there."""
  return Predictor(workdir, **options)


def _change(config, options):
  known = sorted(f.name for f in dataclasses.fields(views.Inference))
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


def write(
    predictor: Predictor,
    paths: list[str],
    output: str,
    *,
    probabilities: bool = False,
    proposals: str = '',
) -> None:
  """Predicts image files and writes what the task predicts of each.

  Of a label map these are NAME.png and NAME_overlay.png; see `write` of the
  task's scores.

  Args:
    predictor: a `Predictor`.
    paths: images, and folders of images.
    output: folder to write to.
    probabilities: whether to write NAME.npz, too.
    proposals: folder of NAME.npz with proposals, for a model that reads those.

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
      example['proposals'] = proposal_files.read(
          epath.Path(proposals) / f'{path.stem}.npz',
          example['image'].shape[:2],
          predictor.num_proposals,
      )
    return example

  start = first = time.monotonic()
  results = predictor.system.task.scores(predictor.label_map)
  for example, prediction in progress.track(
      predictor.stream(map(read, paths), probabilities),
      len(paths),
      'Predicting',
  ):
    if first == start:
      first = time.monotonic()
    results.write(output, example, prediction, probabilities=probabilities)
  results.finish(output)
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
