"""Sums and means over the global batch, on any number of devices.

Training averages losses and gradients over devices, and over the parts that a
device works through a batch in. The functions here are scaled so that this
average is the loss, or the gradient, of the global batch: a mean divides by the
average count of all parts, which a first pass over them records.

Losses such as Dice are computed per region and then averaged. A region is an
image, or the whole batch.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import contextvars
import dataclasses

import jax
import jax.numpy as jnp

from segjax import parallel


@dataclasses.dataclass
class Parts:
  """What the losses of the parts of a batch, computed one by one, divide by.

  Attributes:
    number: of the parts.
    counts: in the order in which means are asked for: those of this part, as
      they are recorded, or the averages over all parts, as they are used.
    recording: whether they are recorded.
  """

  number: int
  counts: list[jax.Array]
  recording: bool

  def whole(self, count):
    """Returns the count to divide by, averaged over the parts."""
    if self.recording:
      self.counts.append(jnp.asarray(count, jnp.float32))
      return count
    return self.counts.pop(0)


_PARTS = contextvars.ContextVar('parts', default=None)


@contextlib.contextmanager
def recorded_counts(number: int) -> Iterator[list[jax.Array]]:
  """Yields a list that fills with what means within divide by.

  Args:
    number: of the parts of the batch, of which the losses within see one.
  """
  parts = Parts(number, [], recording=True)
  token = _PARTS.set(parts)
  try:
    yield parts.counts
  finally:
    _PARTS.reset(token)


@contextlib.contextmanager
def with_counts(number: int, counts: Sequence[jax.Array]) -> Iterator[None]:
  """Has means within divide by these counts, and not by their own.

  Args:
    number: of the parts of the batch, of which the losses within see one.
    counts: averages over the parts of what was recorded.
  """
  token = _PARTS.set(Parts(number, list(counts), recording=False))
  try:
    yield
  finally:
    _PARTS.reset(token)


def ratio(total: jax.Array, count: jax.typing.ArrayLike) -> jax.Array:
  """Returns `total / count`, or 0 with no gradient where count is 0."""
  return jnp.where(count > 0, total / jnp.where(count > 0, count, 1.0), 0.0)


def mean_over(total: jax.Array, count: jax.typing.ArrayLike) -> jax.Array:
  """Returns `total / count`, both of the global batch, or 0 if count is 0.

  Devices see different numbers of valid pixels; the mean of their means would
  give the pixels of a nearly empty image more weight. Here the local sum is
  divided by the average count per device, and per part where a device works
  through its batch in parts, so that averaging the results (and the gradients)
  over both equals the mean over the global batch.

  It must not be called within a loop or a vmap of JAX's of the loss itself.

  Args:
    total: scalar, this device's sum.
    count: scalar, the number of terms of this device's sum; no gradient.
  """
  count = parallel.pmean(count)
  parts = _PARTS.get()
  return ratio(total, parts.whole(count) if parts else count)


def sum_over(total):
  """Returns a sum over the global batch, such as of a loss that is no mean.

  Args:
    total: scalar, the sum over what this device sees.
  """
  parts = _PARTS.get()
  return total * parallel.psum(parts.number if parts else 1)


def batch_mean(x: jax.Array) -> jax.Array:
  """Returns the mean over the global batch, equal on all devices.

  A loss may be any function of it, such as a square. Of parts of a batch that a
  device computes one by one, each has its own mean.

  Args:
    x: [B], or of another shape with as many numbers on each device.
  """
  return parallel.pmean(x.mean())


def region_sum(x: jax.Array, per_image: bool) -> jax.Array:
  """Sums over the pixels of each region.

  Args:
    x: [B, H, W, K].
    per_image: whether a region is an image, else the global batch.

  Returns:
    [R, K]; R is B, or 1 for the global batch.
  """
  if per_image:
    return x.sum((1, 2))
  return parallel.psum(x.sum((0, 1, 2)))[None]


def region_mean(x: jax.Array, valid: jax.Array, per_image: bool) -> jax.Array:
  """Averages over the regions that have a valid pixel.

  Args:
    x: [R], a value of each region, computed from `region_sum`.
    valid: [B, H, W, 1], which pixels are valid.
    per_image: whether a region is an image, else the global batch.

  Returns:
    A scalar; 0 if no pixel is valid.
  """
  counted = region_sum(valid, per_image)[:, 0] > 0
  return mean_over((x * counted).sum(), counted.sum())


def class_mean(
    x: jax.Array,
    class_weights: jax.Array | None,
    counted: jax.Array | float = 1.0,
) -> jax.Array:
  """Averages over classes, each with its weight.

  Args:
    x: [..., K], a value of each class.
    class_weights: [K], or None for equal weights.
    counted: [..., K], 1 for the classes that count and 0 for others.

  Returns:
    [...]; 0 where no class counts.

  Raises:
    ValueError: the weights are of other classes. Those of two classes have
      nothing to weigh where one channel stands for class 1 alone.
  """
  num_classes = x.shape[-1]
  if class_weights is None:
    class_weights = jnp.ones(num_classes)
  if class_weights.shape != (num_classes,):
    raise ValueError(
        f'There are weights of {class_weights.size} classes, and the loss'
        f' averages over {num_classes}: with one channel that is class 1 alone.'
        ' Use cross_entropy or binary_cross_entropy, which weigh the pixels of'
        ' both classes, or leave config.class_weights empty.'
    )
  weights = jnp.broadcast_to(counted * class_weights, x.shape)
  return ratio((x * weights).sum(-1), weights.sum(-1))
