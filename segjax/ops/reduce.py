"""Sums and means over the global batch, on any number of devices.

Training averages losses and gradients over devices. The functions here are
scaled so that this average is the loss, or the gradient, of the global batch.

Losses such as Dice are computed per region and then averaged. A region is an
image, or the whole batch.
"""

import jax
import jax.numpy as jnp

from segjax import parallel


def ratio(total: jax.Array, count: jax.typing.ArrayLike) -> jax.Array:
  """Returns `total / count`, or 0 with no gradient where count is 0."""
  return jnp.where(count > 0, total / jnp.where(count > 0, count, 1.0), 0.0)


def mean_over(total: jax.Array, count: jax.typing.ArrayLike) -> jax.Array:
  """Returns `total / count`, both summed over all devices, or 0 if count is 0.

  Devices see different numbers of valid pixels; the mean of their means would
  give the pixels of a nearly empty image more weight. Here the local sum is
  divided by the average count per device, so that averaging the results (and
  the gradients) over devices equals the mean over the global batch.

  Args:
    total: scalar, this device's sum.
    count: scalar, the number of terms of this device's sum; no gradient.
  """
  return ratio(total, parallel.pmean(count))


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
