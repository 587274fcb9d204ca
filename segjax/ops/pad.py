"""Padding of images, more at their lower and right ends."""

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


def pad_as_tensorflow(
    x: jax.Array, kernel: int, value: float = 0.0
) -> jax.Array:
  """Pads an image as 'SAME' does for a window with stride 2.

  Sides of n pixels become n / 2 pixels, rounded up. Where the padding is an odd
  number of pixels, one more is behind than in front.

  Args:
    x: [B, H, W, C].
    kernel: rows and columns of the window, an odd number.
    value: of the padding.

  Returns:
    [B, height, width, C], for a convolution or a pool without padding.
  """
  edges = [(kernel // 2 - (1 - n % 2), kernel // 2) for n in x.shape[1:3]]
  return jnp.pad(x, ((0, 0), *edges, (0, 0)), constant_values=value)
