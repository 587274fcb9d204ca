"""Padding of images at their lower and right ends."""

import jax
import jax.numpy as jnp


def pad_to_multiple(x: jax.Array, multiple: int) -> jax.Array:
  """Appends rows and columns of zeros until sides are multiples.

  Networks that halve and double sizes and add what has come back to what was
  there need such sides. Their outputs for the padding are to be cut off.

  Args:
    x: [B, H, W, C].
    multiple: what the sides of the result are multiples of.

  Returns:
    [B, height, width, C], `x` itself if nothing is missing.
  """
  missing = [(0, -side % multiple) for side in x.shape[1:3]]
  if missing == [(0, 0), (0, 0)]:
    return x
  return jnp.pad(x, ((0, 0), *missing, (0, 0)))
