"""Ops that move pixels of the image, the label and other fields alike.

The image is interpolated linearly and the label takes the value of the nearest
pixel; `segjax.data.fields` defines the other fields. All are sampled at the
same points: pixel x of a resized row is read at (x + 0.5) * old / new - 0.5.
These are OpenCV's INTER_LINEAR and INTER_NEAREST_EXACT. mmsegmentation's
INTER_NEAREST reads labels at x * old / new, half an output pixel off the image.
As there, nothing is antialiased. Pixels from beyond the border are 0 in the
image and ignored in the label.

A crop with a `halo` has an image that is larger than its label, for models with
valid convolutions, whose outputs are smaller than their inputs. Beyond the
border of the image the halo is mirrored.
"""

import dataclasses
import math

import cv2
import grain
import numpy as np

from segjax.data import fields
from segjax.data.label_map import IGNORE
from segjax.data.transforms import opencv
from segjax.data.transforms.base import Sometimes


@dataclasses.dataclass(frozen=True)
class Sized:
  """Base class of ops with a target size; `width` 0 means a square."""

  height: int
  width: int = 0

  def __post_init__(self):
    if not all(type(n) is int for n in (self.height, self.width)):
      raise ValueError(
          f'height={self.height!r}, width={self.width!r}: height and width are'
          ' whole numbers'
      )
    if self.height < 1 or self.width < 0:
      raise ValueError(
          f'height={self.height}, width={self.width}: height and width are'
          ' positive'
      )

  @property
  def size(self):
    """The target (height, width)."""
    return self.height, self.width or self.height


@dataclasses.dataclass(frozen=True)
class Resize(Sized, grain.transforms.Map):
  """Resizes to (`height`, `width`), or so that one side has `height` pixels.

  That is the shorter side in mode 'short' and the longer one in mode 'long';
  both keep the aspect ratio and take no `width`. With `longest`, in mode
  'short', the longer side has at most so many pixels, and sides are rounded
  down, as in torchvision's detectors.
  """

  mode: str = 'exact'
  longest: int = 0

  def __post_init__(self):
    super().__post_init__()
    if self.longest < 0 or (self.longest and self.mode != 'short'):
      raise ValueError(
          f"longest={self.longest} is for mode 'short', and not negative"
      )
    if self.mode not in ('exact', 'short', 'long'):
      raise ValueError(f"mode {self.mode!r} is not 'exact', 'short' or 'long'")
    if self.mode != 'exact' and self.width:
      raise ValueError(
          f'mode {self.mode!r} takes one number, the length of a side, and no'
          f' width: {self.width}'
      )

  def new_size(self, size, rng=None):
    """Returns the (height, width) after resizing; `rng` is not used."""
    del rng
    if self.mode == 'exact':
      return self.size
    side = min(size) if self.mode == 'short' else max(size)
    if not self.longest:
      return _scaled(size, self.height / side)
    factor = min(self.height / side, self.longest / max(size))
    return tuple(max(int(side * factor + 1e-6), 1) for side in size)

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


class RandomResize(grain.transforms.RandomMap):
  """Base class of ops that resize to a random size."""

  def new_size(self, size, rng):
    """Returns the (height, width) after resizing from `size`."""
    raise NotImplementedError

  def random_map(self, features, rng):
    return _resize(features, self.new_size(features['image'].shape[:2], rng))


@dataclasses.dataclass(frozen=True)
class RandomScale(RandomResize):
  """Resizes both sides by one factor, drawn uniformly from `low` to `high`.

  With a `step` the factor is one of low, low + step, ..., high.
  """

  low: float = 0.5
  high: float = 2.0
  step: float = 0.0

  def __post_init__(self):
    if not 0 < self.low <= self.high or self.step < 0:
      raise ValueError(
          f'low={self.low}, high={self.high}, step={self.step}: a scale needs'
          ' 0 < low <= high and 0 <= step'
      )

  def new_size(self, size, rng):
    """Returns the (height, width) after resizing by a random factor."""
    if not self.step:
      return _scaled(size, rng.uniform(self.low, self.high))
    steps = int((self.high - self.low) / self.step + 1e-6)
    return _scaled(size, self.low + self.step * rng.integers(steps + 1))


@dataclasses.dataclass(frozen=True)
class RandomShort(RandomResize):
  """Resizes so that the shorter side has one of `sides`, drawn uniformly.

  The longer side has at most `longest` pixels, even if the shorter one becomes
  smaller for it. CSAIL trains on ADE20K so.
  """

  sides: tuple[int, ...]
  longest: int

  def __post_init__(self):
    numbers = (*self.sides, self.longest)
    if not self.sides or not all(type(n) is int and n > 0 for n in numbers):
      raise ValueError(
          f'sides={self.sides}, longest={self.longest}: give the lengths of'
          ' sides in pixels, whole positive numbers'
      )

  def new_size(self, size, rng):
    """Returns the (height, width) for a random length of the shorter side."""
    side = self.sides[rng.integers(len(self.sides))]
    return _scaled(size, min(side / min(size), self.longest / max(size)))


@dataclasses.dataclass(frozen=True)
class Crop(Sized, grain.transforms.RandomMap):
  """Base class of ops that cut out a window; smaller images stay whole.

  `pipeline.train_batches` pads smaller images to the size after all other ops,
  so after normalisation, as mmsegmentation does. The window of the image has
  `halo` more pixels on each side than that of the label.
  """

  halo: int = dataclasses.field(default=0, kw_only=True)

  def __post_init__(self):
    super().__post_init__()
    if type(self.halo) is not int or self.halo < 0:
      raise ValueError(
          f'halo={self.halo!r}: halo is a whole number of pixels, not negative'
      )

  def window(self, size, label, rng):
    """Returns the slices of rows and columns to keep.

    Args:
      size: height and width of the image.
      label: [H, W], an array or an object that can be sliced, or None.
      rng: a NumPy Generator.
    """
    raise NotImplementedError

  def random_map(self, features, rng):
    size = features['image'].shape[:2]
    features, window = self.place(features, size, features.get('label'), rng)
    wide, beyond = self.widen(window, size)
    return move(
        features,
        lambda image: _mirror(image[wide], beyond),
        lambda array, _: array[window],
        points=lambda points: points - [part.start for part in window],
    )

  def place(self, features, size, label, rng):
    """Chooses the window, one with the 'anchor' of an example that has one.

    The anchor may lie anywhere in the window. It has served then: a batch has
    examples with and without.

    Args:
      features: of the example.
      size: height and width of the image, which may be resized with the crop.
      label: see `window`.
      rng: a NumPy Generator.

    Returns:
      `features` without an anchor, and the window.
    """
    if 'anchor' not in features:
      return features, self.window(size, label, rng)
    others = {k: v for k, v in features.items() if k != 'anchor'}
    old = features['image'].shape[:2]
    (anchor,) = _scaled_points(features['anchor'], old, size)
    first = anchor.astype(int) - self.size
    corner = rng.integers(first, anchor.astype(int), endpoint=True)
    return others, self._window(size, np.clip(corner, 0, self._margin(size)))

  def widen(self, window, size):
    """Adds the halo to a window, as far as the image goes.

    Returns the larger window, and for each axis the numbers of pixels of the
    halo that lie before and after the image.
    """
    ends = [(w.start - self.halo, w.stop + self.halo) for w in window]
    ends = list(zip(ends, size, strict=True))
    wide = tuple(slice(max(a, 0), min(b, n)) for (a, b), n in ends)
    return wide, [(max(-a, 0), max(b - n, 0)) for (a, b), n in ends]

  def _margin(self, size):
    """Returns the last top left corner (y, x) that a window may have."""
    return np.maximum(np.subtract(size, self.size), 0)

  def _window(self, size, corner):
    """Returns the window with a top left corner (y, x)."""
    ends = np.minimum(np.add(corner, self.size), size)
    return tuple(map(slice, corner, ends))


@dataclasses.dataclass(frozen=True)
class RandomCrop(Crop):
  """Crops at random, and draws up to 10 times again for a varied label.

  A label is varied if it has at least two classes, and none has `cat_max_ratio`
  or more of the pixels that are not ignored; and any label is whose classes
  overlap.
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
    """Returns a uniformly random window."""
    return self._window(size, rng.integers(self._margin(size), endpoint=True))

  def _is_varied(self, label):
    """Tells whether no class has too many pixels of a label."""
    if label.ndim == 3:
      return True
    counts = _class_counts(label)
    most = self.cat_max_ratio * counts.sum()
    return np.count_nonzero(counts) > 1 and counts.max() < most


@dataclasses.dataclass(frozen=True)
class ClassBalancedCrop(Crop):
  """Crops around a random pixel of a random class of the label.

  Each class of the label is equally likely, so rare classes occur more often
  than with a uniform crop. A window that reaches beyond the image is shifted
  back; if all pixels are ignored, it is centred on any of them.
  """

  def window(self, size, label, rng):
    if label is None:
      raise ValueError('class_balanced_crop needs a label')
    label = label[:, :]  # Turns a lazily resized label into an array.
    overlapping = label.ndim == 3
    classes = np.flatnonzero(
        (label == 1).any((0, 1)) if overlapping else _class_counts(label)
    )
    if not classes.size:
      inside = np.ones(size, bool)
    else:
      train_id = rng.choice(classes)
      inside = label[..., train_id] == 1 if overlapping else label == train_id
    pixel = rng.choice(np.flatnonzero(inside))
    corner = np.subtract(
        np.unravel_index(pixel, size), np.floor_divide(self.size, 2)
    )
    return self._window(size, np.clip(corner, 0, self._margin(size)))


@dataclasses.dataclass(frozen=True)
class ScaledCrop(grain.transforms.RandomMap):
  """Resizes and crops in one step, and computes only the pixels of the crop.

  Several resizings become one, which avoids the blur of repeated interpolation.
  """

  resizings: tuple[Resize | RandomResize, ...]
  crop: Crop

  def random_map(self, features, rng):
    size = features['image'].shape[:2]
    for op in self.resizings:
      size = op.new_size(size, rng)
    label = features.get('label')
    if label is not None:
      label = _Resized(label, size)
    features, window = self.crop.place(features, size, label, rng)
    wide, beyond = self.crop.widen(window, size)
    old = features['image'].shape[:2]
    return move(
        features,
        lambda image: _mirror(_resized_window(image, size, wide), beyond),
        lambda array, _: _Resized(array, size)[window],
        lambda array: _resized_window(array, size, window),
        points=lambda points: (
            _scaled_points(points, old, size) - [part.start for part in window]
        ),
    )


@dataclasses.dataclass(frozen=True)
class Pad(Sized, grain.transforms.Map):
  """Pads at the bottom and on the right, so that the label has the size.

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

    padded = move(features, pad, pad, points=lambda points: points)
    if 'label' not in features:
      padded['content'] = features.get('content', size)
    return padded


@dataclasses.dataclass(frozen=True)
class Flip(Sometimes):
  """Mirrors the fields of an example, left to right."""

  def change(self, features, rng):
    last = features['image'].shape[1] - 1
    moved = move(
        features,
        _flip,
        lambda array, _: _flip(array),
        points=lambda points: points * (1, -1) + (0, last),
    )
    return {name: fields.mirrored(name, x) for name, x in moved.items()}


@dataclasses.dataclass(frozen=True)
class CutBorder(Sometimes):
  """Cuts off up to `pixels` of the border, and resizes to the size before.

  As many rows are cut off at the top as at the bottom, and as many columns on
  the left as on the right; the two numbers are drawn apart. The authors of
  ESPNet, https://arxiv.org/abs/1803.06815, train so.
  """

  pixels: int = 32

  def __post_init__(self):
    super().__post_init__()
    if type(self.pixels) is not int or self.pixels < 1:
      raise ValueError(f'pixels={self.pixels!r} is a whole number, 1 or more')

  def change(self, features, rng):
    size = features['image'].shape[:2]
    # At least one pixel is left.
    most = np.clip((np.array(size) - 1) // 2, 0, self.pixels)
    cut = rng.integers(most, endpoint=True)
    window = tuple(
        slice(n, side - n) for n, side in zip(cut, size, strict=True)
    )
    inner = move(
        features,
        lambda image: image[window],
        lambda array, _: array[window],
        points=lambda points: points - cut,
    )
    return _resize(inner, size)


@dataclasses.dataclass(frozen=True)
class Rotate(Sometimes):
  """Rotates about the centre by up to `degrees` either way; the size stays."""

  degrees: float = 10.0

  def change(self, features, rng):
    height, width = features['image'].shape[:2]
    center = (width - 1) / 2, (height - 1) / 2
    angle = rng.uniform(-self.degrees, self.degrees)
    matrix = cv2.getRotationMatrix2D(center, angle, 1.0)

    def linear(array):
      return opencv.warp(array, matrix, cv2.INTER_LINEAR)

    def nearest(array, fill):
      return opencv.warp(array, matrix, cv2.INTER_NEAREST, fill)

    def rotated(points):
      return (points[:, ::-1] @ matrix[:, :2].T + matrix[:, 2])[:, ::-1]

    return move(features, linear, nearest, linear, points=rotated)


@dataclasses.dataclass(frozen=True)
class Elastic(Sometimes):
  """Deforms elastically; the size stays.

  Random displacements of a coarse grid, `points` x `points` for the image, are
  interpolated bicubically to all pixels. Their components are normal with a
  standard deviation of `sigma` pixels. The defaults are the values of section
  3.1 of U-Net, https://arxiv.org/abs/1505.04597.
  """

  sigma: float = 10.0
  points: int = 3

  def __post_init__(self):
    super().__post_init__()
    if self.sigma < 0 or type(self.points) is not int or self.points < 1:
      raise ValueError(
          f'sigma={self.sigma}, points={self.points!r}: sigma is not negative,'
          ' and points is a whole number, 1 or more'
      )

  def change(self, features, rng):
    size = features['image'].shape[:2]
    grid = rng.normal(scale=self.sigma, size=(self.points, self.points, 2))
    moved = cv2.resize(
        grid.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC
    )
    rows, columns = np.indices(size, np.float32)
    at = columns + moved[..., 0], rows + moved[..., 1]

    def linear(array):
      return opencv.remap(array, *at, cv2.INTER_LINEAR)

    def nearest(array, fill):
      return opencv.remap(array, *at, cv2.INTER_NEAREST, fill)

    def moved_points(points):
      # The pixel that shows the point, or what is nearest to it.
      nearest_pixels = [
          np.argmin((at[1] - row) ** 2 + (at[0] - column) ** 2)
          for row, column in points
      ]
      return np.stack(np.unravel_index(nearest_pixels, size), 1)

    return move(features, linear, nearest, linear, points=moved_points)


@dataclasses.dataclass(frozen=True)
class GridDistortion(Sometimes):
  """Stretches and squeezes the cells of a grid; the size stays.

  A grid of `cells` x `cells` is laid over the image, and the widths and heights
  of its columns and rows are multiplied by factors from 1 - `limit` to 1 +
  `limit`, and then by one factor that keeps the borders where they are.
  """

  cells: int = 5
  limit: float = 0.3

  def __post_init__(self):
    super().__post_init__()
    if type(self.cells) is not int or self.cells < 1 or not 0 <= self.limit < 1:
      raise ValueError(
          f'cells={self.cells!r}, limit={self.limit}: cells is a whole number,'
          ' 1 or more, and limit is from 0 to below 1'
      )

  def change(self, features, rng):
    size = features['image'].shape[:2]
    # Ends of the cells along each axis, before and after.
    before = [np.linspace(0, side, self.cells + 1) for side in size]
    after = [self._ends(side, rng) for side in size]
    y, x = (
        np.clip(np.interp(np.arange(side) + 0.5, new, old) - 0.5, 0, side - 1)
        for side, new, old in zip(size, after, before, strict=True)
    )
    # OpenCV takes the points of all pixels.
    y, x = (
        np.ascontiguousarray(grid, np.float32)
        for grid in np.meshgrid(y, x, indexing='ij')
    )

    def linear(array):
      return opencv.remap(array, x, y, cv2.INTER_LINEAR)

    def nearest(array, fill):
      return opencv.remap(array, x, y, cv2.INTER_NEAREST, fill)

    def moved_points(points):
      axes = zip(points.T, before, after, strict=True)
      return np.stack(
          [np.interp(at + 0.5, old, new) - 0.5 for at, old, new in axes], 1
      )

    return move(features, linear, nearest, linear, points=moved_points)

  def _ends(self, side, rng):
    """Returns the ends of the cells along an axis, [cells + 1]."""
    factors = rng.uniform(1 - self.limit, 1 + self.limit, self.cells)
    ends = np.append(0, np.cumsum(factors))
    return ends * side / ends[-1]


def move(features, image, nearest, linear=None, *, points):
  """Moves the pixels of all fields of an example.

  Args:
    features: fields of the example.
    image: function that moves the image, whose crops may have a halo.
    nearest: function that moves other fields without interpolation. It takes an
      array [H, W] or [H, W, N] and the value of pixels from beyond the border.
    linear: function that moves other fields with interpolation, arrays [H, W]
      or [H, W, C]; by default `nearest`.
    points: function that moves positions (row, column), [N, 2].
  """
  linear = linear or (lambda array: nearest(array, 0))
  moved = {}
  for name, array in features.items():
    kind = fields.kind(name)
    if kind is not None and kind.points:
      moved[name] = points(array).astype(array.dtype)
    elif kind is None or not kind.spatial:
      moved[name] = array
    elif kind is fields.IMAGE:
      moved[name] = image(array)
    elif kind.linear:
      moved[name] = linear(array)
    else:
      moved[name] = _pick_known(
          array, lambda known, kind=kind: nearest(known, kind.outside)
      )
  return moved


def _pick_known(array, pick):
  """Applies `pick` in a type that OpenCV supports."""
  # OpenCV does not support int32; float64 represents all of its values.
  supported = array.astype(np.float64) if array.dtype == np.int32 else array
  return pick(supported).astype(array.dtype, copy=False)


def _flip(array):
  """Mirrors an array [H, W] or [H, W, C], left to right."""
  # NumPy would return a view with a negative stride, which slows down later
  # ops.
  return opencv.by_channels(lambda part: cv2.flip(part, 1), array)


def _mirror(image, border):
  """Pads an image [H, W, C] by mirroring, ((top, bottom), (left, right))."""
  return (
      np.pad(image, (*border, (0, 0)), 'reflect') if np.any(border) else image
  )


def _scaled(size, factor):
  """Returns (height, width) times a factor, rounded, at least one pixel."""
  return tuple(max(int(side * factor + 0.5), 1) for side in size)


def _scaled_points(points, old, new):
  """Returns positions [N, 2] after resizing from size `old` to `new`."""
  return (points + 0.5) * np.divide(new, old) - 0.5


def _class_counts(label):
  """Counts the pixels of each train id of a label [H, W]."""
  return cv2.calcHist([label], [0], None, [IGNORE], [0, IGNORE])


def _resize(features, size):
  """Resizes the fields of an example to `size` (height, width)."""
  return move(
      features,
      lambda image: _interpolate(image, size),
      lambda array, _: _pick(array, size),
      lambda array: _interpolate(array, size),
      points=lambda points: _scaled_points(
          points, features['image'].shape[:2], size
      ),
  )


def _interpolate(array, size):
  """Resizes an array [H, W] or [H, W, C] by linear interpolation."""
  return opencv.resize(array, size, cv2.INTER_LINEAR)


def _pick(array, size):
  """Resizes an array [H, W] or [H, W, N], taking the nearest pixels."""
  return opencv.resize(array, size, cv2.INTER_NEAREST_EXACT)


class _Resized:
  """The lazy result of `_pick(array, size)`: slicing computes only a window."""

  def __init__(self, array, size):
    self._array = array
    # OpenCV itself computes which rows and columns are the nearest.
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

  It resizes the part of the image under a slightly larger window, whose ends
  correspond to ends of pixels of the image up to 1/32 of a pixel.
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
  """Returns the larger window along one axis, and its part of the image.

  Args:
    old: pixels of the axis before resizing.
    new: pixels of the axis after resizing.
    window: slice of the resized axis.
  """
  ratio = old / new
  margin = math.ceil(1 / ratio)  # Pixels that the border of the part affects.
  starts = range(max(window.start - margin, 0), -1, -1)
  stops = range(min(window.stop + margin, new), new + 1)
  ends = [
      next(n for n in at if abs(n * ratio - round(n * ratio)) <= 1 / 32)
      for at in (starts, stops)
  ]
  return slice(*ends), slice(*(round(n * ratio) for n in ends))
