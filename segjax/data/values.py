"""The type and the range of the values of images, which a model is trained on.

A model that has learned from 8 bits takes an image of 16 bits, or one from 0 to
1, for something else, and nothing fails. So a run keeps what its images had.
"""

from collections.abc import Iterable
import dataclasses

from etils import epath
import numpy as np

from segjax.data.image import BadExample

SAMPLE = 10_000  # Values of an image that are looked at.
# A brighter image is none of another range as long as it is not brighter by
# this factor: 12 bits and 16 differ by 16, 1 and 255 by 255.
BRIGHTER = 8
# Dark images are more frequent: 255 of 65535 would be darker by 257.
DARKER = 64


@dataclasses.dataclass(frozen=True)
class Values:
  """What values images have.

  Attributes:
    dtypes: names of their types, such as ('uint8',).
    low: brightness of the darkest image that is not black, see `brightness`.
    high: brightness of the brightest one.
  """

  dtypes: tuple[str, ...]
  low: float
  high: float

  def check(self, image: np.ndarray, name: epath.PathLike) -> None:
    """Raises `BadExample` if an image has another type or range.

    Args:
      image: [H, W, C] as it was read.
      name: name of the image in errors.
    """
    known = f'{" and ".join(self.dtypes)} up to about {self.high:.4g}'
    wanted = f'the model was trained on {known}: convert the image to that'
    if str(image.dtype) not in self.dtypes:
      raise BadExample(f'{name} holds {image.dtype}, but {wanted}')
    if str(image.dtype) == 'uint8' or not self.high:
      return
    found = brightness(image)
    if found > BRIGHTER * self.high or 0 < DARKER * found < self.low:
      raise BadExample(
          f'{name} holds {image.dtype} up to about {found:.4g}, but {wanted}'
      )

  def difference(self, other: 'Values') -> str:
    """Says in what the images of another set are unlike these; '' if alike."""
    if self.dtypes != other.dtypes:
      return (
          f'the one was trained on {" and ".join(self.dtypes)}, the other on'
          f' {" and ".join(other.dtypes)}'
      )
    low, high = sorted((self.high, other.high))
    if self.dtypes != ('uint8',) and high > BRIGHTER * low > 0:
      return (
          f'the one was trained on values up to about {self.high:.4g}, the'
          f' other up to about {other.high:.4g}'
      )
    return ''


def measure(images: Iterable[np.ndarray]) -> Values:
  """Returns the values of some images, [H, W, C] each as it was read."""
  found = [(str(image.dtype), brightness(image)) for image in images]
  levels = [level for _, level in found if level]
  return Values(
      dtypes=tuple(sorted({dtype for dtype, _ in found})),
      low=min(levels, default=0.0),
      high=max(levels, default=0.0),
  )


def brightness(image: np.ndarray) -> float:
  """Returns the magnitude that 99 % of the finite values do not exceed."""
  values = image.reshape(-1)
  step = max(values.size // SAMPLE, 1) | 1  # Odd, to see all channels.
  values = np.abs(values[::step].astype(np.float64))
  values = values[np.isfinite(values)]
  return float(np.percentile(values, 99)) if values.size else 0.0
