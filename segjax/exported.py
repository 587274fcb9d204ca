"""Predicts with a model that `python -m segjax.export` has written."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import itertools
import pathlib

import cv2
import numpy as np

from segjax import tasks
from segjax.artifacts import exported
from segjax.data import image as images
from segjax.data.transforms import opencv
from segjax.inference import bands


class ExportedPredictor:
  """An exported model, with what `predict.write` asks of a predictor.

  Attributes:
    label_map: names and colours of the classes.
    channels: number of channels of the images.
    task: the module of its task.
    samples: whether predictions have a variance; they do not.
    num_proposals: region proposals that it reads; none.
    step: step of the checkpoint.
  """

  samples = False
  num_proposals = 0

  def __init__(self, path: str):
    """Reads the file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no exported model.
    """
    self._path = pathlib.Path(path)
    self._call, self._about = exported.read(path)
    self.label_map = self._about.label_map
    self.channels = self._about.shape[-1]
    self.task = tasks.build(self._about.task)[0]
    self.step = self._about.step

  def describe(self) -> dict:
    """Returns what predictions depend on beside the image, as JSON has it."""
    return {'exported': str(self._path.resolve()), 'step': self.step}

  def stream(
      self,
      examples: Iterable[dict],
      probabilities: bool = False,
      on_error: Callable[[dict, Exception], None] | None = None,
  ) -> Iterator[tuple[dict, dict]]:
    """Predicts many images, in batches of the size of the program.

    An image of another size than the program's is resized to it, and its
    probabilities back.

    Args:
      examples: iterable of {'image': [H, W, C], 'name': str}.
      probabilities: whether predictions of a task per pixel include them.
      on_error: called with an example that cannot be predicted and with the
        reason; the others go on. By default the error is raised.

    Yields:
      (example, prediction); see `Predictor.stream`.
    """
    ready = self._prepared(examples, on_error)
    while group := list(itertools.islice(ready, self._about.shape[0])):
      batch = [example['shown'] for example in group]
      batch += [batch[-1]] * (self._about.shape[0] - len(batch))
      outputs = self._call(np.stack(batch))
      outputs = {name: np.asarray(x) for name, x in outputs.items()}
      for i, example in enumerate(group):
        prediction = {name: x[i] for name, x in outputs.items()}
        try:
          prediction = self._at_size(example, prediction, probabilities)
        except ValueError as error:
          if on_error is None:
            raise
          on_error(example, error)
        else:
          yield example, prediction

  def _prepared(self, examples, on_error):
    """Yields examples with the image 'shown' to the program."""
    for example in examples:
      try:
        name = example['name']
        raw = images.with_channels(example['image'], self.channels, name)
        if str(raw.dtype) != self._about.dtype:
          raise ValueError(
              f'{name} holds {raw.dtype}, and the model takes'
              f' {self._about.dtype}: convert the image to that.'
          )
        images.check_finite(raw, name)
        shown = self._resized(raw, self._about.shape[1:3])
      except Exception as error:
        if on_error is None:
          raise
        on_error(example, error)
      else:
        yield {**example, 'raw': raw, 'shown': shown}

  def _at_size(self, example, prediction, probabilities):
    """Returns the prediction at the size of the image."""
    size = example['raw'].shape[:2]
    if not np.isfinite(prediction.get('probabilities', 0)).all():
      raise ValueError(
          f'The probabilities of {example["name"]!r} are not finite: the'
          ' weights or the image contain NaN or infinity.'
      )
    if size != self._about.shape[1:3]:
      if not self.task.PER_PIXEL:
        raise ValueError(
            f'{example["name"]} is {size[0]} x {size[1]}; this model takes'
            f' {self._about.shape[1]} x {self._about.shape[2]} alone.'
        )
      resized = self._resized(prediction['probabilities'], size)
      labels, _ = bands.decide_on_device(
          resized, self._about.threshold, self.label_map.overlapping
      )
      prediction = {'labels': np.asarray(labels), 'probabilities': resized}
    if not probabilities:
      prediction.pop('probabilities', None)
    return prediction

  @staticmethod
  def _resized(array, size):
    """Resizes an array [h, w, C] by linear interpolation."""
    if array.shape[:2] == tuple(size):
      return array
    return opencv.resize(array, tuple(size), cv2.INTER_LINEAR)
