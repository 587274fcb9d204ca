"""The best checkpoint of a run, as a function of images.

Refinements apply the networks of other runs by it.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

import numpy as np

from segjax import experiment
from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.data import image as images
from segjax.data import transforms
from segjax.data.values import Values
from segjax.inference import whole
from segjax.inference.views import Inference
from segjax.system import System


@dataclasses.dataclass(frozen=True)
class Trained:
  """A system with its weights, and how it is given images.

  Attributes:
    system: what was trained.
    variables: of its model.
    channels: of its images.
    values: type and range of its images, if known.
    ops: of preprocessing.
    forward: `forward(variables, batch)`, compiled.
    options: of prediction, for one image at a time.
  """

  system: System
  variables: Mapping[str, Any]
  channels: int
  values: Values | None
  ops: tuple
  forward: Callable
  options: Inference

  def prepare(self, raw: np.ndarray, name: str = 'image', **more) -> dict:
    """Returns an example of an image as it was read, [H, W, C].

    Args:
      raw: the image.
      name: of it, for errors.
      **more: other fields that the model reads.
    """
    if self.values:
      self.values.check(raw, name)
    raw = images.with_channels(raw, self.channels, name)
    features = {'image': raw, 'name': name, **more}
    features = transforms.apply(self.ops, features)
    return {**features, 'raw': raw, 'size': raw.shape[:2]}

  def __call__(self, raw: np.ndarray, name: str = 'image') -> dict:
    """Returns what the task predicts of an image, {name: array}."""
    ((_, prediction),) = whole.predict_by_task(
        self.system.task,
        functools.partial(self.forward, self.variables),
        [self.prepare(raw, name)],
        self.options,
    )
    return prediction


@functools.lru_cache(maxsize=4)
def load(workdir: str) -> Trained:
  """Loads the best checkpoint of a run, once.

  Args:
    workdir: folder of the run.

  Raises:
    FileNotFoundError: it has no run, or no checkpoint.
  """
  folder = Workdir(workdir)
  config = folder.read_config()
  label_map, channels = folder.read_labels()
  _, variables = checkpoint.best(folder.checkpoints)
  system = experiment.system(config, label_map)
  options = dataclasses.replace(
      experiment.inference(config, system),
      batch_size=experiment.layout(config).groups(local=True),
  )
  return Trained(
      system=system,
      variables=variables,
      channels=channels,
      values=folder.read_values(),
      ops=transforms.parse(config.preprocess.eval),
      forward=experiment.forward(config, system),
      options=options,
  )
