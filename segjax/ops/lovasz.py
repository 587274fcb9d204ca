"""The Lovasz extension of the Jaccard loss, https://arxiv.org/abs/1705.08790.

It makes of a loss of sets of wrong pixels one of errors between: where every
error is 0 or 1, it is 1 - intersection / union.
"""

import jax
import jax.numpy as jnp

from segjax import parallel


def lovasz_extension(errors, target, valid, per_image):
  """Weighs errors by what each adds to the Jaccard loss of those above it.

  Args:
    errors: [B, H, W, K], not negative.
    target: [B, H, W, K], 1 for the pixels of a class and 0 for others.
    valid: [B, H, W, 1], which pixels count.
    per_image: whether to sort the errors of an image, else of the global batch.

  Returns:
    [R, K], the loss of each class in each image (R is B) or in the global batch
    (R is 1). Order and weights are constants for the gradient.

  References:
    Berman et al. 2018, algorithm 1; `lovasz_grad` of
    https://github.com/bermanmaxim/LovaszSoftmax.
  """

  def pixels(x):
    x = x.reshape(len(x), -1, x.shape[-1])
    if not per_image:
      x = parallel.all_gather(x).reshape(1, -1, x.shape[-1])
    return x.swapaxes(1, 2)

  # Pixels that do not count come last, behind those without an error.
  errors = pixels(jnp.where(valid, errors, -1.0))
  place = jax.lax.broadcasted_iota(jnp.int32, errors.shape, 2)
  target = pixels(target.astype(jnp.int32))
  falling, target, place = jax.lax.sort(
      (-jax.lax.stop_gradient(errors), target, place), num_keys=1
  )
  valid = falling <= 0
  # Of the class and its prediction, if all pixels down to this one are wrong.
  positives = target.sum(-1, keepdims=True)
  intersection = positives - target.cumsum(-1)
  union = positives + (valid - target).cumsum(-1)
  # The differences between neighbours of 1 - intersection / union, written out:
  # they are near 1 / pixels, and float32 numbers near 1 differ by 1e-7. The
  # first pixel of a class that has none makes a loss of 0 one of 1.
  weights = jnp.where(
      (target == 1) | (union == 1),
      1.0,
      intersection / jnp.maximum(union - 1, 1),
  )
  weights = valid * weights / jnp.maximum(union, 1)
  _, weights = jax.lax.sort((place, weights), num_keys=1)
  return (errors * weights).sum(-1)
