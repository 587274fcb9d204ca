"""Ops that put parts of other training examples into an example.

The others are drawn from the same split, and go through the ops that stand in
front, with draws of their own. All draws depend on the seed and on the place of
the example in the sequence of training, not on batches, steps or hosts.

Where a pixel comes from another example, so do all of its fields. Objects of
both are numbered anew in the rows that an example has; if there are more, the
largest stay, and the pixels of the others are ignored. Of region proposals, of
which there is a fixed number too, those with the most pixels stay.
"""

from collections.abc import Callable
import dataclasses

import numpy as np

from segjax.data import fields
from segjax.data import proposals
from segjax.data.label_map import IGNORE
from segjax.data.transforms import geometry
from segjax.data.transforms.base import Sometimes

Example = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Mix(Sometimes):
  """Base class of ops that take other examples."""

  def mix(
      self,
      features: Example,
      draw: Callable[[], Example],
      rng: np.random.Generator,
  ) -> Example:
    """Returns the example with parts of others.

    Args:
      features: of the example.
      draw: returns another example, after the ops in front.
      rng: a NumPy Generator.
    """
    raise NotImplementedError

  def maybe_mix(
      self,
      features: Example,
      draw: Callable[[], Example],
      rng: np.random.Generator,
  ) -> Example:
    """Calls `mix` with probability `prob`."""
    return (
        self.mix(features, draw, rng) if rng.random() < self.prob else features
    )

  def change(self, features, rng):
    raise ValueError(
        f'{self} takes other examples of a split, and here is a single one'
    )


@dataclasses.dataclass(frozen=True)
class CutMix(Mix):
  """Replaces a random box by the same box of another example.

  Its share of the image is drawn from a beta distribution with both parameters
  `alpha`, uniformly by default; what lies beyond the border is cut off. CutMix,
  https://arxiv.org/abs/1905.04899, for pixels.
  """

  alpha: float = 1.0

  def __post_init__(self):
    super().__post_init__()
    if self.alpha <= 0:
      raise ValueError(f'alpha={self.alpha} is positive')

  def mix(self, features, draw, rng):
    size = features['image'].shape[:2]
    ratio = np.sqrt(rng.beta(self.alpha, self.alpha))
    center = rng.integers(size)
    other = draw()
    start = center - np.multiply(size, ratio).astype(int) // 2
    stop = start + np.multiply(size, ratio).astype(int)
    # The other may be smaller.
    stop = np.minimum(stop, other['image'].shape[:2])
    box = np.zeros(size, bool)
    box[tuple(map(slice, np.maximum(start, 0), np.maximum(stop, 0)))] = True
    return _overlay(features, [(_lay(other, size), box)])


@dataclasses.dataclass(frozen=True)
class Mosaic(Mix):
  """Joins parts of four examples to one of the same size.

  Two lines divide the image, at heights and widths from `margin` to 1 -
  `margin` of it. Each of the four parts is cut out of an example at random;
  what a smaller one leaves free is 0 in the image and ignored in the label.
  Mosaic is from YOLOv4, https://arxiv.org/abs/2004.10934.
  """

  margin: float = 0.25

  def __post_init__(self):
    super().__post_init__()
    if not 0 <= self.margin <= 0.5:
      raise ValueError(f'margin={self.margin} is from 0 to 0.5')

  def mix(self, features, draw, rng):
    size = features['image'].shape[:2]
    cut = np.rint(rng.uniform(self.margin, 1 - self.margin, 2) * size).astype(
        int
    )
    places = rng.permutation(4)
    laid, parts = [], []
    for example, place in zip(
        (features, draw(), draw(), draw()), places, strict=True
    ):
      after = np.array(divmod(place, 2))
      start, stop = np.where(after, (cut, size), ((0, 0), cut))
      free = np.subtract(example['image'].shape[:2], stop - start)
      corner = rng.integers(np.maximum(free, 0), endpoint=True)
      laid.append(_lay(example, size, start - corner))
      part = np.zeros(size, bool)
      part[tuple(map(slice, start, stop))] = True
      parts.append(part)
    base, *others = laid
    return _overlay(base, list(zip(others, parts[1:], strict=True)))


@dataclasses.dataclass(frozen=True)
class CopyPaste(Mix):
  """Pastes objects of another example over the image, where they were there.

  Each is taken with probability `share`. With `instances`, these are its
  objects, but no groups of objects; else the connected components of all
  classes but 0. Objects that are hidden are none any more, and others are as
  large as they show. Simple copy-paste, https://arxiv.org/abs/2012.07177, has
  `random_scale(0.1, 2.0)|random_crop(1024)|pad(1024)|flip` in front.

  Attributes:
    share: probability of each object.
    classes: of the objects to paste; () for all.
  """

  share: float = 0.5
  classes: tuple[int, ...] = ()

  def __post_init__(self):
    super().__post_init__()
    if not 0 <= self.share <= 1:
      raise ValueError(f'share={self.share} is from 0 to 1')

  def mix(self, features, draw, rng):
    size = features['image'].shape[:2]
    other = _lay(draw(), size)
    ids, classes, single = self._objects(other)
    taken = (rng.random(len(classes)) < self.share) & single
    if self.classes:
      taken &= np.isin(classes, self.classes)
    return _overlay(features, [(other, np.append(False, taken)[ids])])

  def _objects(self, example):
    """Returns numbers [H, W], classes [N], and which are single objects [N]."""
    if 'instances' in example:
      classes = example['instance_classes']
      return example['instances'], classes, example['instance_crowds'] == 0
    if 'label' not in example:
      raise ValueError('copy_paste needs a label')
    if example['label'].ndim != 2:
      raise ValueError(
          'copy_paste needs objects where classes overlap: set'
          ' config.dataset.options.instances, if the data set has it'
      )
    ids, classes = proposals.objects(example['label'])
    return ids, classes[1:], np.ones(len(classes) - 1, bool)


def _lay(example, size, corner=(0, 0)):
  """Lays an example on an empty one of `size`, its corner at (row, column)."""
  old = example['image'].shape[:2]
  if old == tuple(size) and not np.any(corner):
    return example
  ends = [
      (max(at, 0), max(min(new, side + at), max(at, 0)))
      for at, side, new in zip(corner, old, size, strict=True)
  ]
  there = tuple(slice(*end) for end in ends)
  here = tuple(
      slice(start - at, stop - at)
      for (start, stop), at in zip(ends, corner, strict=True)
  )

  def lay(array, fill=0):
    laid = np.full((*size, *array.shape[2:]), fill, array.dtype)
    laid[there] = array[here]
    return laid

  return geometry.move(example, lay, lay, points=lambda points: points + corner)


def _overlay(features, layers):
  """Returns an example with parts of others.

  Args:
    features: of the example.
    layers: pairs of another example of the same size, and the pixels [H, W]
      bool to take from it.
  """
  examples = [features, *(other for other, _ in layers)]
  shown = np.zeros(features['image'].shape[:2], int)
  for i, (other, part) in enumerate(layers, 1):
    _check_alike(features, other)
    shown[part] = i
  mixed = dict(features)
  for name in filter(fields.is_spatial, features):
    arrays = [example[name] for example in examples]
    if fields.kind(name) is fields.STACK:
      mixed[name] = _largest_masks(arrays, shown)
      continue
    mixed[name] = arrays[0].copy()
    for i, array in enumerate(arrays[1:], 1):
      mixed[name][shown == i] = array[shown == i]
  if 'instances' in features:
    mixed |= _number(examples, shown, mixed.get('label'))
  return mixed


def _check_alike(features, other):
  """Raises ValueError unless two examples have the same fields and channels."""
  for name in filter(fields.is_spatial, {**features, **other}):
    a, b = (
        (x[name].dtype, x[name].shape[2:]) if name in x else None
        for x in (features, other)
    )
    if a != b:
      raise ValueError(
          f'the {name} of {other.get("name")} is to be mixed in, and differs in'
          f' type or channels: {b or "none"} there, {a or "none"} here'
      )


def _largest_masks(arrays, shown):
  """Returns the N masks of all that show most, [H, W, N].

  Args:
    arrays: masks of each example, [H, W, N].
    shown: index of the example that each pixel is from, [H, W].
  """
  count = arrays[0].shape[2]
  masks = np.concatenate(
      [np.where((shown == i)[..., None], a, 0) for i, a in enumerate(arrays)],
      axis=2,
  )
  pixels = np.count_nonzero(masks, (0, 1))
  largest = np.sort(np.argsort(-pixels, kind='stable')[:count])
  return np.ascontiguousarray(masks[..., largest])


def _number(examples, shown, label):
  """Returns `instances` and their tables of a mixed example, and its label.

  Args:
    examples: those that are mixed.
    shown: index of the example that each pixel is from, [H, W].
    label: of the mixed example, or None.
  """
  tables = ('instance_classes', 'instance_crowds')
  rows = len(examples[0][tables[0]])
  ids = np.zeros(shown.shape, np.int64)
  for i, example in enumerate(examples):
    own = example['instances']
    ids = np.where((shown == i) & (own > 0), own + i * rows, ids)
  area = np.bincount(ids.ravel(), minlength=1 + len(examples) * rows)[1:]
  kept = np.argsort(-area, kind='stable')[:rows]
  kept = np.sort(kept[area[kept] > 0])
  number = np.zeros(1 + len(area), np.int32)
  number[1 + kept] = 1 + np.arange(len(kept))
  mixed = {'instances': number[ids]}
  for name, unused in zip(tables, (IGNORE, 0), strict=True):
    values = np.concatenate([example[name] for example in examples])
    mixed[name] = np.full(rows, unused, values.dtype)
    mixed[name][: len(kept)] = values[kept]
  if label is not None and label.ndim == 2:
    lost = (ids > 0) & (mixed['instances'] == 0)
    mixed['label'] = np.where(lost, IGNORE, label).astype(label.dtype)
  return mixed
