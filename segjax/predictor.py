"""A trained run as a function of images.

`segjax.predict` predicts files by it, and refinements apply the networks of
other runs. `segjax.ensemble` joins several.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import functools
import json
import os
import types
from typing import Any

import numpy as np

from segjax import experiment
from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.data import fields
from segjax.data import image as images
from segjax.data import transforms
from segjax.inference import boxes as box_inference
from segjax.inference import whole
from segjax.inference.views import Inference
from segjax.ops.resize import resize


class OneImage:
  """Predicts one image at a time; what a run and an ensemble share.

  Attributes:
    task: the module of the task.
    samples: whether predictions have a variance.
  """

  task: types.ModuleType
  samples: bool

  def predict_one(
      self, image: np.ndarray, *, name: str = 'image', **more
  ) -> dict[str, np.ndarray]:
    """Returns all predictions for one image, {name: array}.

    Args:
      image: see `__call__`.
      name: of the image, for errors.
      **more: see `__call__`.
    """
    raise NotImplementedError

  def __call__(
      self, image: np.ndarray, **more
  ) -> tuple[np.ndarray, np.ndarray]:
    """Predicts the label map of one image.

    Args:
      image: [H, W, C] or, if grey, [H, W], with the type and range of values of
        the images that the model was trained on, such as uint8.
      **more: other fields that the model reads, such as `proposals` [H, W, N],
        0 or 1, with any N.

    Returns:
      labels: class ids, [H, W] uint8.
      probabilities: [H, W, K] float32.

    Raises:
      ValueError: a field is missing, or the model does not read it, or the task
        does not predict label maps, see `predict_one`.
    """
    if not self.task.PER_PIXEL:
      raise ValueError(
          'This system predicts no label map; call `predict_one`, which returns'
          ' all that it predicts by name.'
      )
    prediction = self.predict_one(image, **more)
    return prediction['labels'], prediction['probabilities']

  def with_variance(
      self, image: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicts the label map of one image and its uncertainty.

    Args:
      image: see `__call__`.

    Returns:
      labels: see `__call__`.
      probabilities: see `__call__`.
      variance: variance of the probabilities over samples, [H, W, K] float32.

    Raises:
      ValueError: the system does not sample.
    """
    if not self.samples:
      raise ValueError(
          'This system predicts no variance: it does not sample, as'
          ' bayesian_segnet does.'
      )
    prediction = self.predict_one(image)
    return tuple(
        prediction[name] for name in ('labels', 'probabilities', 'variance')
    )


class Predictor(OneImage):
  """A trained model with the preprocessing and the options of its run.

  Attributes:
    label_map: names and colours of the classes.
    channels: number of channels of the images.
    step: step of the checkpoint, the best of the run.
    system: the `System` of the run.
    variables: of its model.
    task: the module of its task.
    samples: whether it samples, and predictions have a variance.
    num_proposals: region proposals to read from a file; 0 reads none.
    dataset: name of the data set that was trained on.
    asks: fields that it is given beside the image; others are derived.
  """

  def __init__(self, workdir: str | os.PathLike, **options):
    """Loads the best checkpoint of a run.

    Args:
      workdir: folder of the run.
      **options: fields of `config.predict` to change.

    Raises:
      FileNotFoundError: `workdir` has no run or no checkpoint.
      ValueError: there is no such option, or its value has another type.
    """
    self._workdir = workdir = Workdir(workdir)
    config = workdir.read_config()
    _change(config.predict, options)
    self.label_map, self.channels = workdir.read_labels()
    self._values = workdir.read_values()
    self.step, self.variables = checkpoint.best(workdir.checkpoints)
    self._ops = transforms.parse(config.preprocess.eval)
    self.system = experiment.system(config, self.label_map)
    self._forward = experiment.forward(config, self.system)
    self._options = experiment.inference(
        config,
        self.system,
        config.predict.temperature or workdir.read_temperature(self.step),
    )
    # The smallest batch: one image for each group of devices.
    self._smallest_batch = experiment.layout(config).groups(local=True)
    self.task, self.samples = self.system.task, self.system.samples
    self.num_proposals = config.dataset.options.get('proposals', 0)
    self.dataset = config.dataset.name
    derived = {
        name
        for op in self._ops
        if not getattr(op, 'on_truth', False)
        for name in getattr(op, 'derives', ())
    }
    self.asks = tuple(
        name
        for name in self.system.reads
        if name in fields.FIELDS and name not in {'image', *derived}
    )

  def predict_one(
      self, image: np.ndarray, *, name: str = 'image', **more
  ) -> dict[str, np.ndarray]:
    """Returns all predictions for one image; see `OneImage.predict_one`."""
    example = _example(image, name)
    example |= {key: np.asarray(value) for key, value in more.items()}
    options = dataclasses.replace(
        self._options, batch_size=self._smallest_batch
    )
    ((_, prediction),) = self.stream([example], True, options)
    return prediction

  def by_boxes(
      self, image: np.ndarray, boxes: np.ndarray, **options
  ) -> tuple[np.ndarray, np.ndarray]:
    """Predicts one image object by object; see `inference.boxes.segment`.

    Args:
      image: see `__call__`.
      boxes: [N, 4] in pixels of the image, y0 x0 y1 x1, ends exclusive.
      **options: `size` and `enlarge` of `inference.boxes.segment`.

    Returns:
      labels: class ids, [H, W] uint8.
      scores: maxima over boxes, [H, W, K] float32.
    """
    example = self.prepare(_example(image))
    normalized, size = example['image'], example['size']
    rows, columns = example.get('content', normalized.shape[:2])
    ratio = np.divide((rows, columns), size)
    scores = box_inference.segment(
        lambda x: self._forward(self.variables, {'image': x})['logits'],
        normalized,
        np.asarray(boxes) * np.tile(ratio, 2),
        batch_size=self._smallest_batch,
        **options,
    )
    scores = scores[None, : round(rows), : round(columns)]
    scores = resize(scores, size)[0]
    return scores.argmax(-1).astype(np.uint8), np.asarray(scores)

  @property
  def options(self) -> Inference:
    """Options of prediction: those of the run, with what was changed."""
    return self._options

  def describe(self) -> dict:
    """Returns what predictions depend on beside the image, as JSON has it."""
    options = dataclasses.asdict(self._options)
    del options['batch_size']
    about = {
        'workdir': str(self._workdir.path.resolve()),
        'step': self.step,
        'options': options,
    }
    return json.loads(json.dumps(about))

  @property
  def threshold(self) -> float:
    """Probability above which the second of two classes is chosen."""
    return self._options.threshold

  @property
  def batch_size(self) -> int:
    """Number of images or windows that are predicted together."""
    return self._options.batch_size

  def select(self, example: dict[str, Any]) -> dict[str, Any]:
    """Returns an example without fields that the model does not read."""
    unread = fields.FIELDS.keys() - {'image', *self.system.reads}
    return {k: v for k, v in example.items() if k not in unread}

  def difference(self, other: 'Predictor') -> str:
    """Says in what another run predicts something else; '' if in nothing."""
    if difference := self.label_map.difference(other.label_map):
      return difference
    if self.task.scores is not other.task.scores:
      return 'their tasks predict different things'
    if self.channels != other.channels:
      return (
          f'images have {self.channels} channels for the one and'
          f' {other.channels} for the other'
      )
    if self.threshold != other.threshold:
      return (
          f'config.predict.threshold is {self.threshold} and {other.threshold};'
          " give one to both, as in --options='threshold=0.5'"
      )
    if self._values and other._values:
      return self._values.difference(other._values)
    return ''

  def stream(
      self,
      examples: Iterable[dict],
      probabilities: bool = False,
      options: Inference | None = None,
      on_error: Callable[[dict, Exception], None] | None = None,
  ) -> Iterator[tuple[dict, dict]]:
    """Predicts many images, in batches.

    Args:
      examples: iterable of {'image': [H, W, C], 'name': str, ...}, with the
        other fields that the model reads.
      probabilities: whether predictions of a task per pixel include them.
      options: an `Inference`; by default that of the run.
      on_error: called with an example that cannot be predicted and with the
        reason; the others go on. By default the error is raised.

    Yields:
      (example, prediction), not always in order. A prediction is a dict of
      arrays at the size of the image; the task's file in segjax/tasks names
      them.
    """
    yield from whole.predict_by_task(
        self.task,
        lambda batch: self._forward(self.variables, batch),
        self._prepared(examples, on_error),
        options or self._options,
        probabilities,
        on_error,
    )

  def _prepared(self, examples, on_error):
    for example in examples:
      try:
        ready = self.prepare(example)
      except Exception as error:
        if on_error is None:
          raise
        on_error(example, error)
      else:
        yield ready

  def prepare(self, example: dict[str, Any]) -> dict[str, Any]:
    """Checks and preprocesses the fields of an example, see `stream`."""
    # A part of an image may be as dark as no image is.
    if not example.get('part_of_image'):
      self.check_values(example['image'], example['name'])
    images.check_finite(example['image'], example['name'])
    raw = images.with_channels(example['image'], self.channels, example['name'])
    features = {'image': raw}
    for name in example.keys() & fields.FIELDS.keys() - {'image'}:
      features[name] = self._field(example, name)
    features = transforms.apply(self._ops, features)
    # An op may have derived some of them.
    fields.check(self.system.reads, features, f'{example["name"]}: this system')
    return {**example, **features, 'raw': raw, 'size': raw.shape[:2]}

  def check_values(self, image: np.ndarray, name: str | os.PathLike) -> None:
    """Raises `BadExample` if an image has another type or range than the run's.

    Args:
      image: [H, W, C] as it was read.
      name: of the image.
    """
    if self._values:  # Old runs and converted weights do not tell them.
      self._values.check(image, name)

  def _field(self, example, name):
    """Returns a field other than the image, converted to its type in batches.

    Raises:
      ValueError: the model does not read the field, or its size differs from
        that of the image.
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


def _example(image, name='image'):
  """Makes an example of an image [H, W, C] or [H, W]."""
  image = np.asarray(image)
  return {'image': image.reshape(*image.shape[:2], -1), 'name': name}


@functools.lru_cache(maxsize=4)
def shared(workdir: str) -> Predictor:
  """Returns the `Predictor` of a workdir, loaded once for all who ask."""
  return Predictor(workdir)


def _change(config, options):
  """Sets fields of `config.predict`; errors name the known ones."""
  known = sorted(config)
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
