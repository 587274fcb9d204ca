"""CascadePSP, https://arxiv.org/abs/2005.02551: finer masks, one by one.

The network of another run, `segjax.models.cascade_psp`, is given image and
mask: first the whole image at one size, then, at its own size, windows along
the outline of what came out of that. One window is seen at a time, so the
memory of the network does not grow with the image.
"""

from collections.abc import Callable
import dataclasses
import functools
import itertools

import cv2
from flax import linen as nn
import jax
import numpy as np

from segjax import predictor
from segjax.ops.pool import adaptive_avg_pool
from segjax.ops.resize import rescale
from segjax.ops.resize import resize

BORDER = 16  # Pixels of a window that do not count, but at edges of the image.
# Windows are left as they are if a smaller or larger share is of the mask.
SHARES = (0.1, 0.9)
MULTIPLE = 8  # Sides of what the network sees are multiples of it.


@dataclasses.dataclass(frozen=True)
class CascadePSP:
  """Refines the masks of all classes, or of one; see the module.

  Every class, or every connected part of one, is a mask. A pixel takes the
  class of the highest refined probability if that is above a half. Of two
  classes the second one alone is refined.
  """

  workdir: str  # Of a run of the task refinement.
  size: int = 900  # Of the longer side in the global step, and of windows.
  local: bool = True  # Whether there is a local step.
  # Whether each connected part is a mask, in a box that is larger by a quarter;
  # else each class is, in the whole image.
  parts: bool = True
  min_area: int = 1024  # Smaller parts or classes stay as they are.

  def __post_init__(self):
    if self.size // 2 <= 2 * BORDER or self.min_area < 1:
      raise ValueError(
          f'size={self.size} is at least {4 * BORDER + 2}, and'
          f' min_area={self.min_area} at least 1'
      )
    try:
      task = predictor.shared(self.workdir).task.__name__.rpartition('.')[-1]
    except FileNotFoundError as error:
      raise ValueError(str(error)) from error
    if task != 'refinement':
      raise ValueError(
          f'the run in {self.workdir} is of the task {task!r}, and CascadePSP'
          " wants one of 'refinement', as configs/cascade_psp.py makes it"
      )

  def __call__(self, example, probabilities):
    """Returns better probabilities, [H, W, K]."""
    network = predictor.shared(self.workdir)
    blank = np.zeros(probabilities.shape[:2], np.float32)
    seen = {
        'image': np.asarray(example['raw']),
        'coarse_mask': blank,
        'name': example.get('name', 'image'),
    }
    image = np.asarray(network.prepare(seen)['image'])
    if image.shape[:2] != blank.shape:
      raise ValueError(
          f'CascadePSP wants an image of the size of its probabilities,'
          f' {blank.shape}, and that of {self.workdir} has {image.shape[:2]}:'
          ' its config.preprocess.eval should not resize.'
      )
    apply = functools.partial(
        refined_twice, network.system.model, _on_device(self.workdir)
    )
    refine = functools.partial(
        refine_mask, apply, size=self.size, local=self.local
    )
    labels = probabilities.argmax(-1)
    if probabilities.shape[-1] == 2:
      return self._one_class(refine, image, labels, probabilities)
    return self._many_classes(refine, image, labels, probabilities)

  def _one_class(self, refine, image, labels, probabilities):
    """Replaces the probability of class 1 in and around its parts."""
    inside = probabilities[..., 1].copy()
    finer = np.zeros_like(inside)
    for box, mask in self._masks(labels == 1):
      inside[box][mask] = 0
      np.maximum(finer[box], refine(image[box], mask), out=finer[box])
    inside = np.maximum(inside, finer)
    return np.stack([1 - inside, inside], -1)

  def _many_classes(self, refine, image, labels, probabilities):
    """Gives pixels to the class whose refined mask is the surest of them."""
    best = np.full(labels.shape, 0.5, np.float32)
    winner = np.full(labels.shape, -1)
    for k in np.unique(labels):
      for box, mask in self._masks(labels == k):
        found = refine(image[box], mask)
        surer = found > best[box]
        best[box][surer] = found[surer]
        winner[box][surer] = k
    share = np.where(winner >= 0, best, 0)[..., None]
    chosen = winner[..., None] == np.arange(probabilities.shape[-1])
    return (1 - share) * probabilities + share * chosen

  def _masks(self, mask):
    """Yields boxes, slices of rows and columns, and the masks in them."""
    if not self.parts:
      if np.count_nonzero(mask) >= self.min_area:
        yield (slice(None), slice(None)), mask
      return
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats(np.uint8(mask))
    for number, (left, top, width, height, area) in enumerate(boxes):
      if number and area >= self.min_area:
        box = tuple(
            slice(max(first - side // 8, 0), first + side + side // 8)
            for first, side in ((top, height), (left, width))
        )
        yield box, numbers[box] == number


@functools.lru_cache(maxsize=2)
def _on_device(workdir):
  """Returns the variables of a run, once, where the masks are refined."""
  variables = predictor.shared(workdir).variables
  return jax.device_put(variables, jax.local_devices()[0])


@functools.partial(jax.jit, static_argnums=0)
def refined_twice(
    model: nn.Module,
    variables: dict,
    image: jax.Array,
    mask: jax.Array,
    stride8: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Returns the probabilities [B, H, W] of the last outputs at strides 1 and 4.

  Args:
    model: a `cascade_psp.Model` of one channel.
    variables: of it.
    image: [B, H, W, C], sides multiples of 8.
    mask: [B, H, W], 0 to 1.
    stride8: see the model.
  """
  out = model.apply(variables, image, mask, stride8)
  logits = out['logits'], out['aux']['pass3_stride4']
  return tuple(jax.nn.sigmoid(x[..., 0]) for x in logits)


def refine_mask(
    apply: Callable,
    image: np.ndarray,
    mask: np.ndarray,
    *,
    size: int,
    local: bool = True,
) -> np.ndarray:
  """Refines a mask of an image of any size.

  Args:
    apply: `apply(image, mask, stride8)`, see `refined_twice`.
    image: [H, W, C], normalised.
    mask: [H, W], 0 to 1 or bool.
    size: of the longer side in the global step, and of windows.
    local: whether there is a local step.

  Returns:
    Probabilities, [H, W] float32.
  """
  sides = mask.shape
  mask = np.asarray(mask, np.float32)
  fine, stride4 = _global(apply, image, mask, size)
  if local:
    fine, stride4 = (_resize(x, sides) for x in (fine, stride4))
    return _local(apply, image, np.float32(fine > 0.5), stride4, size)
  if max(sides) < size:
    return np.asarray(adaptive_avg_pool(fine[None, ..., None], sides))[
        0, ..., 0
    ]
  return _resize(fine, sides, align_corners=True)


def _global(apply, image, mask, size):
  """Refines an image whose longer side becomes `size` pixels."""
  ratio = size / max(mask.shape)
  image, mask = image[None], mask[None, ..., None]
  if ratio < 1:
    sides = tuple(int(side * ratio) for side in mask.shape[1:3])
    image, mask = (adaptive_avg_pool(x, sides) for x in (image, mask))
  elif ratio > 1:
    image = rescale(image, ratio, method='bicubic')
    mask = rescale(mask, ratio)
  return _padded(apply, np.asarray(image)[0], np.asarray(mask)[0, ..., 0])


def _local(apply, image, coarse, stride4, size):
  """Refines the outline of a mask [H, W] of 0 and 1, window by window."""
  step = size // 2 - 2 * BORDER
  total, weight = np.zeros_like(coarse), np.zeros_like(coarse)
  starts = [
      sorted(
          {max(min(i * step, side - size), 0) for i in range(side // step + 1)}
      )
      for side in coarse.shape
  ]
  for corner in itertools.product(*starts):
    window = tuple(slice(first, first + size) for first in corner)
    part = coarse[window]
    if not SHARES[0] <= part.mean() <= SHARES[1]:
      continue
    fine, _ = _padded(apply, image[window], part, stride4[window])
    counted = tuple(
        slice(
            BORDER if first else 0,
            length if first + length == side else length - BORDER,
        )
        for first, length, side in zip(
            corner, part.shape, coarse.shape, strict=True
        )
    )
    total[window][counted] += fine[counted]
    weight[window][counted] += 1
  return np.where(weight == 0, coarse, total / np.maximum(weight, 1))


def _padded(apply, image, mask, stride8=None):
  """Applies the network to sides that are no multiples of 8.

  If one is none, both grow to the next one, as in the authors' code.
  """
  height, width = mask.shape
  border = (0, 0), (0, 0)
  if height % MULTIPLE or width % MULTIPLE:
    border = tuple((0, MULTIPLE - side % MULTIPLE) for side in mask.shape)

  def pad(x):
    return None if x is None else np.pad(x, (*border, *[(0, 0)] * (x.ndim - 2)))

  given = [pad(x) for x in (image, mask, stride8)]
  outputs = apply(*(None if x is None else x[None] for x in given))
  return tuple(np.asarray(x)[0, :height, :width] for x in outputs)


def _resize(x, sides, align_corners=False):
  """Resizes [H, W] bilinearly."""
  resized = resize(x[None, ..., None], sides, align_corners=align_corners)
  return np.asarray(resized)[0, ..., 0]


build = CascadePSP
