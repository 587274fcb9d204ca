"""The Lovasz extension of the Jaccard loss, https://arxiv.org/abs/1705.08790.

The Jaccard loss, 1 - intersection / union, is a function of the set of wrong
pixels. The extension is its convex surrogate for errors of any size, and equals
it where every error is 0 or 1.
"""

import jax
import jax.numpy as jnp

from segjax import parallel


def lovasz_extension(
    errors: jax.Array, target: jax.Array, valid: jax.Array, per_image: bool
) -> jax.Array:
  """Returns the Lovasz extension of the Jaccard loss at the given errors.

  Errors are sorted in falling order. Each is weighted by how much its pixel
  raises the Jaccard loss when it joins the pixels of larger error.

  Args:
    errors: [B, H, W, K], not negative.
    target: [B, H, W, K], 1 for the pixels of a class and 0 for others.
    valid: [B, H, W, 1], which pixels count.
    per_image: whether errors are sorted within each image, or over the global
      batch.

  Returns:
    [R, K], the loss of each class in each image (R is B) or in the global batch
    (R is 1). The gradient treats order and weights as constants.

  References:
    Berman et al. 2018, algorithm 1; `lovasz_grad` of
    https://github.com/bermanmaxim/LovaszSoftmax.
  """

  def pixels(x):
    x = x.reshape(len(x), -1, x.shape[-1])
    if not per_image:
      x = parallel.all_gather(x).reshape(1, -1, x.shape[-1])
    return x.swapaxes(1, 2)

  # Pixels that are not valid get -1, which sorts behind all errors.
  errors = pixels(jnp.where(valid, errors, -1.0))
  place = jax.lax.broadcasted_iota(jnp.int32, errors.shape, 2)
  target = pixels(target.astype(jnp.int32))
  falling, target, place = jax.lax.sort(
      (-jax.lax.stop_gradient(errors), target, place), num_keys=1
  )
  valid = falling <= 0
  # Intersection and union of a class and its prediction if the pixels up to
  # this one, in falling order of errors, are the wrong ones.
  positives = target.sum(-1, keepdims=True)
  intersection = positives - target.cumsum(-1)
  union = positives + (valid - target).cumsum(-1)
  # The weights are differences between neighbours of 1 - intersection / union.
  # They are near 1 / pixels, and float32 has steps of 1e-7 near 1, so they are
  # computed in closed form and not by subtraction. For a class without pixels
  # the first wrong pixel raises the loss from 0 to 1.
  weights = jnp.where(
      (target == 1) | (union == 1),
      1.0,
      intersection / jnp.maximum(union - 1, 1),
  )
  weights = valid * weights / jnp.maximum(union, 1)
  _, weights = jax.lax.sort((place, weights), num_keys=1)
  return (errors * weights).sum(-1)
