"""SegFix, https://arxiv.org/abs/2007.04269: labels from further inside.

The network of another run, `segjax.models.segfix`, tells from the image which
pixels are near an outline and which way leads inside. Such a pixel gets the
probabilities of the one a few steps inwards.
"""

import dataclasses

import numpy as np

from segjax import predictor
from segjax.ops import directions


@dataclasses.dataclass(frozen=True)
class SegFix:
  """Replaces probabilities near outlines; see the module.

  Any system's can be refined by one run, whose classes do not matter.
  """

  workdir: str  # Of a run of the task boundaries.
  scale: float = 2.0  # Steps to go inwards.

  def __post_init__(self):
    if self.scale <= 0:
      raise ValueError(f'scale={self.scale} is a number of steps, above 0')
    try:
      task = predictor.shared(self.workdir).task.__name__.rpartition('.')[-1]
    except FileNotFoundError as error:
      raise ValueError(str(error)) from error
    if task != 'boundaries':
      raise ValueError(
          f'the run in {self.workdir} is of the task {task!r}, and SegFix wants'
          " one of 'boundaries', as configs/segfix.py makes it"
      )

  def __call__(self, example, probabilities):
    """Returns better probabilities, [H, W, K]."""
    image = np.asarray(example['raw'])
    if image.shape[:2] != probabilities.shape[:2]:
      raise ValueError(
          f'SegFix wants an image of the size of its probabilities, and has'
          f' {image.shape[:2]} and {probabilities.shape[:2]}.'
      )
    found = predictor.shared(self.workdir).predict_one(
        image, name=example.get('name', 'image')
    )
    return directions.look_up(probabilities, found['labels'], self.scale)


build = SegFix
