"""Ops that move pixels: each field of an example moves as its kind does.

The image is interpolated and the label picked from the nearest pixel, see
`segjax.data.fields` for the others. All are sampled at the same points: pixel x
of a resized row looks at (x + 0.5) * old / new - 0.5. Those are OpenCV's
INTER_LINEAR, and for labels INTER_NEAREST_EXACT; mmseg's INTER_NEAREST reads
labels at x * old / new, half an output pixel off the image. Nothing is
antialiased, as in mmseg. Pixels from outside are 0 in the image and ignored in
the label.

A crop with a `halo` leaves an image that is larger than its label: valid
convolutions see the pixels around and say nothing of them. Beyond the border
they are the mirror image.
"""

import dataclasses
import math

import cv2
import grain
import numpy as np

from segjax.data import fields
from segjax.data.label_map import IGNORE
from segjax.data.transforms.base import Sometimes


@dataclasses.dataclass(frozen=True)
class Sized:
  """An op with a target size; `width` 0 means a square."""

  height: int
  width: int = 0

  def __post_init__(self):
    if not all(type(n) is int for n in (self.height, self.width)):
      raise ValueError('height and width are whole numbers')
    if self.height < 1 or self.width < 0:
      raise ValueError('height and width are positive')

  @property
  def size(self):
    return self.height, self.width or self.height


@dataclasses.dataclass(frozen=True)
class Resize(Sized, grain.transforms.Map):
  """Resizes to the exact size, or until one side is `height` pixels long.

  That is the shorter side in mode 'short' and the longer one in mode 'long';
  both keep the aspect ratio and take no `width`.
  """

  mode: str = 'exact'

  def __post_init__(self):
    super().__post_init__()
    if self.mode not in ('exact', 'short', 'long'):
      raise ValueError(f"mode {self.mode!r} is not 'exact', 'short' or 'long'")
    if self.mode != 'exact' and self.width:
      raise ValueError(f'mode {self.mode!r} takes one number')

  def new_size(self, size, rng=None):
    """Returns what an image of `size` is resized to; nothing is drawn."""
    del rng
    if self.mode == 'exact':
      return self.size
    side = min(size) if self.mode == 'short' else max(size)
    return _scaled(size, self.height / side)

  def map(self, features):
    old = features['image'].shape[:2]
    new = self.new_size(old)
    resized = _resize(features, new)
    if 'content' in features:
      resized['content'] = tuple(
          float(n * b / a)
          for n, a, b in zip(features['content'], old, new, strict=True)
      )
    return resized


@dataclasses.dataclass(frozen=True)
class RandomScale(grain.transforms.RandomMap):
  """Resizes both sides by one factor, drawn uniformly from `low` to `high`.

  With a `step` the factor is one of low, low + step, ..., high.
  """

  low: float = 0.5
  high: float = 2.0
  step: float = 0.0

  def __post_init__(self):
    if not 0 < self.low <= self.high or self.step < 0:
      raise ValueError('a scale needs 0 < low <= high and 0 <= step')

  def new_size(self, size, rng):
    """Returns what an image of `size` is resized to in this draw."""
    if not self.step:
      return _scaled(size, rng.uniform(self.low, self.high))
    steps = int((self.high - self.low) / self.step + 1e-6)
    return _scaled(size, self.low + self.step * rng.integers(steps + 1))

  def random_map(self, features, rng):
    return _resize(features, self.new_size(features['image'].shape[:2], rng))


@dataclasses.dataclass(frozen=True)
class Crop(Sized, grain.transforms.RandomMap):
  """Cuts out a window of the size; a smaller image is taken whole.

  `pipeline.train_batches` pads what is missing then after all other ops, hence
  after normalisation, as mmseg does. The image is cut out with `halo` more
  on each side, for a model of that `halo`.
  """

  halo: int = dataclasses.field(default=0, kw_only=True)

  def __post_init__(self):
    super().__post_init__()
    if type(self.halo) is not int or self.halo < 0:
      raise ValueError('halo is a whole number of pixels')

  def window(self, size, label, rng):
    """Returns the slices of rows and columns to keep.

    Args:
      size: height and width of the image.
      label: [H, W], of which slices can be taken, or None if there is none.
      rng: a NumPy Generator.
    """
    raise NotImplementedError

  def random_map(self, features, rng):
    size = features['image'].shape[:2]
    window = self.window(size, features.get('label'), rng)
    wide, lacking = self.widen(window, size)
    return _move(
        features,
        lambda image: _mirror(image[wide], lacking),
        lambda array, _: array[window],
    )

  def widen(self, window, size):
    """Returns a window with its halo, as far as the image goes.

    Also the pixels that the halo lacks: before and after, for each axis.
    """
    ends = [(w.start - self.halo, w.stop + self.halo) for w in window]
    ends = list(zip(ends, size, strict=True))
    wide = tuple(slice(max(a, 0), min(b, n)) for (a, b), n in ends)
    return wide, [(max(-a, 0), max(b - n, 0)) for (a, b), n in ends]

  def _margin(self, size):
    """Returns the last corner (top, left) that a window may have."""
    return np.maximum(np.subtract(size, self.size), 0)

  def _window(self, size, corner):
    ends = np.minimum(np.add(corner, self.size), size)
    return tuple(map(slice, corner, ends))


@dataclasses.dataclass(frozen=True)
class RandomCrop(Crop):
  """Crops at random, up to 10 times again until the label is varied.

  Varied means two classes at least, none with `cat_max_ratio` or more of the
  pixels that are not ignored. The last draw is taken as it is.
  """

  cat_max_ratio: float = 0.75

  def window(self, size, label, rng):
    window = self._draw(size, rng)
    if label is None or self.cat_max_ratio >= 1:
      return window
    for _ in range(10):
      if self._is_varied(label[window]):
        break
      window = self._draw(size, rng)
    return window

  def _draw(self, size, rng):
    return self._window(size, rng.integers(self._margin(size), endpoint=True))

  def _is_varied(self, label):
    counts = _class_counts(label)
    most = self.cat_max_ratio * counts.sum()
    return np.count_nonzero(counts) > 1 and counts.max() < most


@dataclasses.dataclass(frozen=True)
class ClassBalancedCrop(Crop):
  """Crops around a pixel of a class; each class present is equally likely.

  So rare classes are seen more often than with a uniform crop. A window that
  sticks out is shifted back into the image; if all is ignored, any pixel will
  do.
  """

  def window(self, size, label, rng):
    if label is None:
      raise ValueError('class_balanced_crop needs a label')
    label = label[:, :]  # All of it is looked at.
    classes = np.flatnonzero(_class_counts(label))
    wanted = rng.choice(classes) if classes.size else IGNORE
    pixel = rng.choice(np.flatnonzero(label == wanted))
    corner = np.subtract(
        np.unravel_index(pixel, size), np.floor_divide(self.size, 2)
    )
    return self._window(size, np.clip(corner, 0, self._margin(size)))


@dataclasses.dataclass(frozen=True)
class ScaledCrop(grain.transforms.RandomMap):
  """Resizings and a crop in one step: just the crop's pixels are computed.

  Several resizings become one, without the blur of interpolating twice.
  """

  resizings: tuple[Resize | RandomScale, ...]
  crop: Crop

  def random_map(self, features, rng):
    size = features['image'].shape[:2]
    for op in self.resizings:
      size = op.new_size(size, rng)
    label = features.get('label')
    if label is not None:
      label = _Resized(label, size)
    window = self.crop.window(size, label, rng)
    wide, lacking = self.crop.widen(window, size)
    return _move(
        features,
        lambda image: _mirror(_resized_window(image, size, wide), lacking),
        lambda array, _: _Resized(array, size)[window],
        lambda array: _resized_window(array, size, window),
    )


@dataclasses.dataclass(frozen=True)
class Pad(Sized, grain.transforms.Map):
  """Pads to the size, at the bottom and on the right.

  That is the size of the label, if there is one: an image with halo stays
  larger. Without one, the image is to be predicted: the entry 'content',
  (height, width), says how large it was before, for the padding to be cut off.
  """

  def map(self, features):
    size = features.get('label', features['image']).shape[:2]
    missing = np.subtract(self.size, size)
    if missing.min() < 0:
      raise ValueError(
          f'an image of {size[0]} x {size[1]} does not fit into the '
          f'{self.size[0]} x {self.size[1]} of pad; crop or resize it before'
      )
    if not missing.any():
      return features
    edges = [(0, n) for n in missing]

    def pad(array, fill=0):
      more = [(0, 0)] * (array.ndim - 2)
      return np.pad(array, edges + more, constant_values=fill)

    padded = _move(features, pad, pad)
    if 'label' not in features:
      padded['content'] = features.get('content', size)
    return padded


@dataclasses.dataclass(frozen=True)
class Flip(Sometimes):
  """Mirrors image and label, left to right."""

  def change(self, features, rng):
    return _move(features, _flip, lambda array, _: _flip(array))


@dataclasses.dataclass(frozen=True)
class Rotate(Sometimes):
  """Turns by up to `degrees` either way about the centre; the size stays."""

  degrees: float = 10.0

  def change(self, features, rng):
    height, width = features['image'].shape[:2]
    center = (width - 1) / 2, (height - 1) / 2
    angle = rng.uniform(-self.degrees, self.degrees)
    matrix = cv2.getRotationMatrix2D(center, angle, 1.0)

    def linear(array):
      return _warp(array, matrix)

    def nearest(array, fill):
      return _warp(array, matrix, flags=cv2.INTER_NEAREST, borderValue=fill)

    return _move(features, linear, nearest, linear)


@dataclasses.dataclass(frozen=True)
class Elastic(Sometimes):
  """Bends image and label; the size stays.

  Displacements are drawn for a coarse grid of `points` a side, both components
  normal with a standard deviation of `sigma` pixels; bicubic interpolation
  gives those of the pixels. Section 3.1 of https://arxiv.org/abs/1505.04597,
  whose values are the defaults.
  """

  sigma: float = 10.0
  points: int = 3

  def __post_init__(self):
    super().__post_init__()
    if self.sigma < 0 or type(self.points) is not int or self.points < 1:
      raise ValueError('sigma is not negative, points is 1 or more')

  def change(self, features, rng):
    size = features['image'].shape[:2]
    grid = rng.normal(scale=self.sigma, size=(self.points, self.points, 2))
    moved = cv2.resize(
        grid.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC
    )
    rows, columns = np.indices(size, np.float32)
    at = columns + moved[..., 0], rows + moved[..., 1]

    def linear(array):
      return cv2.remap(array, *at, cv2.INTER_LINEAR).reshape(array.shape)

    def nearest(array, fill):
      bent = cv2.remap(array, *at, cv2.INTER_NEAREST, borderValue=fill)
      return bent.reshape(array.shape)

    return _move(features, linear, nearest, linear)


def _move(features, image, nearest, linear=None):
  """Moves the pixels of all fields of an example.

  Args:
    features: of the example.
    image: function of the image, whose crops may have a halo.
    nearest: function of an array whose values are picked, [H, W] or [H, W, N],
      and of the value that surrounds it.
    linear: function of an array whose values are interpolated, [H, W] or
      [H, W, C], beside the image; by default they are picked.
  """
  linear = linear or (lambda array: nearest(array, 0))
  moved = {}
  for name, array in features.items():
    kind = fields.kind(name)
    if kind is None or not kind.spatial:
      moved[name] = array
    elif kind is fields.IMAGE:
      moved[name] = image(array)
    elif kind.linear:
      moved[name] = linear(array)
    else:
      moved[name] = _pick_channels(
          array, lambda part, kind=kind: nearest(part, kind.outside)
      )
  return moved


def _pick_channels(array, pick):
  """Returns `pick` of arrays that OpenCV takes: 128 channels, not int32."""
  # OpenCV moves no int32; float64 holds all of its numbers.
  known = array.astype(np.float64) if array.dtype == np.int32 else array
  if array.ndim == 2:
    return pick(known).astype(array.dtype, copy=False)
  parts = [
      pick(np.ascontiguousarray(known[..., i : i + 128]))
      for i in range(0, array.shape[-1], 128)
  ]
  return np.concatenate(parts, -1).astype(array.dtype, copy=False)


def _flip(array):
  # A view that runs backwards would slow down all that comes after.
  if array.ndim == 3 and array.shape[2] > 128:  # OpenCV takes no more.
    return array[:, ::-1]
  return cv2.flip(array, 1).reshape(array.shape)


def _mirror(image, lacking):
  """Continues an image [H, W, C] beyond its border, if anything lacks there."""
  return (
      np.pad(image, (*lacking, (0, 0)), 'reflect') if np.any(lacking) else image
  )


def _scaled(size, factor):
  return tuple(max(int(side * factor + 0.5), 1) for side in size)


def _class_counts(label):
  """Returns the number of pixels of each id below IGNORE."""
  return cv2.calcHist([label], [0], None, [IGNORE], [0, IGNORE])


def _resize(features, size):
  return _move(
      features,
      lambda image: _interpolate(image, size),
      lambda array, _: _pick(array, size),
      lambda array: _interpolate(array, size),
  )


def _interpolate(array, size):
  """Returns an array [H, W] or [H, W, C] at another size, interpolated."""
  resized = cv2.resize(array, size[::-1], interpolation=cv2.INTER_LINEAR)
  return resized.reshape(*size, *array.shape[2:])


def _pick(array, size):
  """Returns an array [H, W] or [H, W, N] at another size, picked."""
  flags = cv2.INTER_NEAREST_EXACT
  resized = cv2.resize(array, size[::-1], interpolation=flags)
  return resized.reshape(*size, *array.shape[2:])


class _Resized:
  """What `_pick(array, size)` is, computed where it is sliced."""

  def __init__(self, array, size):
    self._array = array
    # Where OpenCV itself would pick.
    self._points = [
        _pick(np.arange(old, dtype=np.float32)[:, None], (new, 1))[:, 0]
        for old, new in zip(array.shape[:2], size, strict=True)
    ]

  def __getitem__(self, window):
    rows, columns = (
        points[part].astype(int)
        for points, part in zip(self._points, window, strict=True)
    )
    return self._array.take(rows, 0).take(columns, 1)


def _resized_window(image, size, window):
  """Returns `_interpolate(image, size)[window]` without computing the rest.

  It resizes the part of the image under a window that is a little larger, so
  that the part begins and ends between two pixels, up to 1/32 of one.
  """
  outer, part = zip(*map(_outer, image.shape, size, window), strict=True)
  resized = _interpolate(image[part], [o.stop - o.start for o in outer])
  return resized[
      tuple(
          slice(w.start - o.start, w.stop - o.start)
          for w, o in zip(window, outer, strict=True)
      )
  ]


def _outer(old, new, window):
  """Returns the larger window along one axis, and the part of the image."""
  ratio = old / new
  margin = math.ceil(1 / ratio)  # Pixels that the part's own border reaches.
  starts = range(max(window.start - margin, 0), -1, -1)
  stops = range(min(window.stop + margin, new), new + 1)
  ends = [
      next(n for n in at if abs(n * ratio - round(n * ratio)) <= 1 / 32)
      for at in (starts, stops)
  ]
  return slice(*ends), slice(*(round(n * ratio) for n in ends))


def _warp(array, matrix, **options):
  """Warps [H, W] or [H, W, C]; OpenCV alone would drop a C of 1."""
  height, width = array.shape[:2]
  warped = cv2.warpAffine(array, matrix, (width, height), **options)
  return warped.reshape(array.shape)
