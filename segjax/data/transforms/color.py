"""Ops that change the values of pixels, not their positions.

Images are [H, W, 3] in RGB, or [H, W, C]. Labels are not changed.
"""

import dataclasses

import cv2
import grain
import numpy as np

from segjax.data.transforms import opencv
from segjax.data.transforms.base import Sometimes

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclasses.dataclass(frozen=True)
class Photometric(grain.transforms.RandomMap):
  """Changes brightness, contrast, saturation and hue of 8-bit images at random.

  Each changes with probability 0.5; contrast comes before or after saturation
  and hue. As in mmsegmentation, values are truncated to whole numbers after
  each step, and hue has 180 values. Saturation and hue of grey images do not
  change.

  Attributes:
    brightness: largest value that is added or subtracted.
    contrast: range of the factor.
    saturation: range of the factor.
    hue: largest value that is added or subtracted, of 180.
  """

  brightness: float = 32.0
  contrast: tuple[float, float] = (0.5, 1.5)
  saturation: tuple[float, float] = (0.5, 1.5)
  hue: int = 18

  def random_map(self, features, rng):
    image = features['image']
    if image.dtype != np.uint8 or image.shape[2] not in (1, 3):
      raise ValueError(
          'photometric takes 8-bit grey or RGB images, before normalize; this '
          f'is {image.dtype} with {image.shape[2]} channels'
      )
    steps = [self._saturation, self._hue] if image.shape[2] == 3 else []
    steps.insert(len(steps) * rng.integers(2), self._contrast)
    for step in (self._brightness, *steps):
      if rng.integers(2):
        image = step(image, rng)
    return {**features, 'image': image}

  def _brightness(self, image, rng):
    return _linear(image, 1.0, rng.uniform(-self.brightness, self.brightness))

  def _contrast(self, image, rng):
    return _linear(image, rng.uniform(*self.contrast))

  def _saturation(self, image, rng):
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = _linear(hsv[..., 1], rng.uniform(*self.saturation))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

  def _hue(self, image, rng):
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    shift = rng.integers(-self.hue, self.hue)
    table = (np.arange(256) + shift) % 180
    hsv[..., 0] = cv2.LUT(hsv[..., 0], table.astype(np.uint8))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


@dataclasses.dataclass(frozen=True)
class Blur(Sometimes):
  """Blurs the image by a Gaussian, with sigma from `low` to `high` pixels."""

  low: float = 0.5
  high: float = 1.0

  def change(self, features, rng):
    image = features['image']
    sigma = rng.uniform(self.low, self.high)
    blurred = opencv.by_channels(
        lambda part: cv2.GaussianBlur(part, (0, 0), sigma), image
    )
    return {**features, 'image': blurred}


@dataclasses.dataclass(frozen=True)
class Cutout(Sometimes):
  """Sets `holes` random rectangles of the image to 0; the label stays.

  As in mmsegmentation, a rectangle starts at any pixel and has `ratio` times
  the height and width of the image.
  """

  holes: int = 1
  ratio: float = 0.2

  def change(self, features, rng):
    image = features['image'].copy()
    shape = image.shape[:2]
    for _ in range(self.holes):
      corner = rng.integers(shape)
      ends = corner + np.multiply(shape, self.ratio).astype(int)
      image[tuple(map(slice, corner, ends))] = 0
    return {**features, 'image': image}


@dataclasses.dataclass(frozen=True)
class Gamma(Sometimes):
  """Raises the brightness of 8 or 16 bits to a power from `low` to `high`.

  The brightness is the value over the largest of its type, so black and white
  stay. Powers below 1 make an image brighter.
  """

  low: float = 0.8
  high: float = 1.25

  def __post_init__(self):
    super().__post_init__()
    if not 0 < self.low <= self.high:
      raise ValueError(
          f'low={self.low}, high={self.high}: powers need 0 < low <= high'
      )

  def change(self, features, rng):
    image = features['image']
    if image.dtype not in (np.uint8, np.uint16):
      raise ValueError(
          'gamma takes images of 8 or 16 bits, before normalize; this is'
          f' {image.dtype}'
      )
    top = np.iinfo(image.dtype).max
    brightness = np.arange(top + 1) / top
    table = np.rint(top * brightness ** rng.uniform(self.low, self.high))
    return {**features, 'image': table.astype(image.dtype)[image]}


@dataclasses.dataclass(frozen=True)
class Clahe(Sometimes):
  """Equalises the histograms of `tiles` x `tiles` parts of an 8-bit image.

  Contrast-limited adaptive histogram equalisation by OpenCV, of the lightness
  of RGB and of the values of grey images. The limit of the contrast is drawn
  from 1 to `limit`. Images of a microscope or a fundus camera gain most.
  """

  limit: float = 4.0
  tiles: int = 8

  def __post_init__(self):
    super().__post_init__()
    if self.limit < 1 or type(self.tiles) is not int or self.tiles < 1:
      raise ValueError(
          f'limit={self.limit}, tiles={self.tiles!r}: limit is at least 1, and'
          ' tiles a whole number, 1 or more'
      )

  def change(self, features, rng):
    image = features['image']
    if image.dtype != np.uint8 or image.shape[2] not in (1, 3):
      raise ValueError(
          'clahe takes 8-bit grey or RGB images, before normalize; this is'
          f' {image.dtype} with {image.shape[2]} channels'
      )
    # One of its own, since threads share the op.
    equaliser = cv2.createCLAHE(
        rng.uniform(1, self.limit), (self.tiles, self.tiles)
    )
    if image.shape[2] == 1:
      return {**features, 'image': equaliser.apply(image)[..., None]}
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = equaliser.apply(np.ascontiguousarray(lab[..., 0]))
    return {**features, 'image': cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)}


@dataclasses.dataclass(frozen=True)
class Normalize(grain.transforms.Map):
  """Normalises the image to float32, (image - mean) / std.

  Mean and standard deviation are in the units of the image, one number or one
  for each channel. The defaults are ImageNet's, and only for 8-bit RGB.
  """

  mean: float | tuple[float, ...] = IMAGENET_MEAN
  std: float | tuple[float, ...] = IMAGENET_STD

  def __post_init__(self):
    if np.min(self.std) <= 0:
      raise ValueError(f'std={self.std}: a standard deviation is positive')

  def map(self, features):
    image = features['image']
    channels = image.shape[2]
    fits = {np.size(self.mean), np.size(self.std)} <= {1, channels}
    if not fits or (self == Normalize() and image.dtype != np.uint8):
      raise ValueError(
          f'mean {self.mean} and std {self.std} do not normalize an image of '
          f'{image.dtype} with {channels} channels; give them in its units, as '
          'one number or one per channel (the defaults are for 8-bit RGB)'
      )
    height, width, _ = image.shape
    mean, std = (
        np.tile(np.broadcast_to(np.asarray(n, np.float32), channels), width)
        for n in (self.mean, self.std)
    )
    # NumPy is six times faster over whole rows than over a last axis of 3.
    rows = image.reshape(height, -1) - mean
    rows /= std
    return {**features, 'image': rows.reshape(image.shape)}


@dataclasses.dataclass(frozen=True)
class Bgr(grain.transforms.Map):
  """Converts RGB to BGR, the order that weights from Caffe expect."""

  def map(self, features):
    image = features['image']
    if image.shape[2] != 3:
      raise ValueError(f'bgr takes RGB; this has {image.shape[2]} channels')
    return {**features, 'image': np.ascontiguousarray(image[..., ::-1])}


def _linear(array, alpha, beta=0.0):
  """Returns `alpha * array + beta`, clipped to 0 to 255, truncated to uint8."""
  table = np.arange(256, dtype=np.float32) * alpha + beta
  table = np.clip(table, 0, 255).astype(np.uint8)
  return cv2.LUT(array, table).reshape(array.shape)
