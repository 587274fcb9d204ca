"""The mean of what several runs predict, and how much they disagree."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import itertools
import os

import numpy as np

from segjax.inference import bands
from segjax.predictor import OneImage
from segjax.predictor import Predictor


class Ensemble(OneImage):
  """The mean of the probabilities that several runs predict.

  Each run preprocesses and predicts as it does alone. The `variance` of a
  prediction tells how much the runs disagree: it is that of the probabilities
  over the runs and, where these sample, over their samples.

  Attributes:
    members: the `Predictor` of each run.
    label_map: see `Predictor`, as for the others.
    channels: number of channels of the images.
    task: the module of the task of the first run.
    num_proposals: region proposals to read from a file; 0 reads none.
    dataset: name of the data set that was trained on.
  """

  samples = True

  def __init__(self, workdirs: Sequence[str | os.PathLike], **options):
    """Loads the best checkpoints of several runs.

    Args:
      workdirs: folders of the runs.
      **options: fields of `config.predict` to change in all of them.

    Raises:
      FileNotFoundError: a workdir has no run or no checkpoint.
      ValueError: the runs do not predict the same, or no probabilities.
    """
    self.members = [Predictor(path, **options) for path in workdirs]
    first, *others = self.members
    if not first.task.PER_PIXEL:
      raise ValueError(
          f'{workdirs[0]} predicts no probabilities of pixels, whose mean an'
          ' ensemble is: predict with one --workdir.'
      )
    for path, other in zip(workdirs[1:], others, strict=True):
      if difference := first.difference(other):
        raise ValueError(
            f'{workdirs[0]} and {path} are no ensemble: {difference}.'
        )
    self.label_map, self.channels = first.label_map, first.channels
    self.task = first.task
    self.num_proposals = max(member.num_proposals for member in self.members)
    self.dataset = self.members[0].dataset

  def predict_one(
      self, image: np.ndarray, *, name: str = 'image', **more
  ) -> dict[str, np.ndarray]:
    """Returns all predictions for one image; see `OneImage.predict_one`."""
    reads = {field for member in self.members for field in member.system.reads}
    if unread := sorted(more.keys() - reads):
      raise ValueError(f'{name}: none of the runs reads {", ".join(unread)}.')
    mean = _Mean()
    for member in self.members:
      known = {k: v for k, v in more.items() if k in member.system.reads}
      mean.add(member.predict_one(image, name=name, **known))
    return self._decide(mean)

  def describe(self) -> dict:
    """Returns what predictions depend on beside the image, as JSON has it."""
    return {'ensemble': [member.describe() for member in self.members]}

  def stream(
      self,
      examples: Iterable[dict],
      probabilities: bool = False,
      on_error: Callable[[dict, Exception], None] | None = None,
  ) -> Iterator[tuple[dict, dict]]:
    """Predicts many images: as many as a batch has by all runs, then the next.

    Args:
      examples: see `Predictor.stream`; a run gets the fields that it reads.
      probabilities: whether predictions include them.
      on_error: see `Predictor.stream`.

    Yields:
      (example, prediction), as `Predictor.stream`.
    """
    examples = iter(examples)
    size = max(member.batch_size for member in self.members)
    while group := list(itertools.islice(examples, size)):
      yield from self._predict(group, probabilities, on_error)

  def _predict(self, group, probabilities, on_error):
    """Yields (example, prediction) of a few images."""
    means = {place: _Mean() for place in range(len(group))}
    shown = {}

    def fail(example, error):
      if on_error is None:
        raise error
      del means[example['place']]
      on_error(group[example['place']], error)

    for member in self.members:
      given = [
          member.select(group[place]) | {'place': place} for place in means
      ]
      for example, prediction in member.stream(given, True, on_error=fail):
        means[example['place']].add(prediction)
        shown[example['place']] = {k: example[k] for k in ('raw', 'size')}
    for place, mean in means.items():
      prediction = self._decide(mean)
      if not probabilities:
        del prediction['probabilities']
      yield group[place] | shown[place], prediction

  def _decide(self, mean):
    """Returns the prediction that a `_Mean` of probabilities stands for."""
    labels, _ = bands.decide_on_device(
        mean.probabilities,
        self.members[0].threshold,
        self.label_map.overlapping,
    )
    return {
        'labels': np.asarray(labels),
        'probabilities': mean.probabilities,
        'variance': mean.variance(),
    }


class _Mean:
  """Mean and variance of probabilities [H, W, K], added one by one."""

  def __init__(self):
    self.probabilities, self._count = 0.0, 0
    self._squares = self._sampled = 0.0  # Of deviations; variances of samples.

  def add(self, prediction):
    """Adds the prediction of a run."""
    self._count += 1
    new = prediction['probabilities']
    before = new - self.probabilities
    self.probabilities = self.probabilities + before / self._count
    self._squares = self._squares + before * (new - self.probabilities)
    self._sampled = self._sampled + prediction.get('variance', 0.0)

  def variance(self):
    """Returns the variance over runs and over samples of these."""
    return (self._squares + self._sampled) / self._count


def load(
    workdir: str | os.PathLike | Sequence[str | os.PathLike], **options
) -> Predictor | Ensemble:
  """Loads what predicts images by a run, or by several together.

  Args:
    workdir: folder of the run; several make an `Ensemble`.
    **options: fields of `config.predict` to change.
  """
  if isinstance(workdir, str | os.PathLike):
    return Predictor(workdir, **options)
  if len(workdir) == 1:
    return Predictor(workdir[0], **options)
  return Ensemble(workdir, **options)
