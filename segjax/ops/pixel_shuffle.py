"""Pixel shuffle: from channels to pixels, in two orders of the channels."""

import jax


def pixel_shuffle(x: jax.Array, factor: int) -> jax.Array:
  """Spreads each pixel's channels over `factor` x `factor` pixels.

  Of the channels, the class varies slowest, then the row and then the column
  in the square that a pixel becomes.

  Args:
    x: [B, H, W, K * factor**2].
    factor: rows and columns that a pixel becomes.

  Returns:
    [B, H * factor, W * factor, K].

  References:
    PyTorch's `pixel_shuffle`; Shi et al., Real-Time Single Image and Video
    Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network,
    2016, https://arxiv.org/abs/1609.05158, section 3.2.
  """
  batch, height, width, _ = x.shape
  x = x.reshape(batch, height, width, -1, factor, factor)
  x = x.transpose(0, 1, 4, 2, 5, 3)
  return x.reshape(batch, height * factor, width * factor, -1)


def depth_to_space(x: jax.Array, factor: int) -> jax.Array:
  """Spreads each pixel's channels over `factor` x `factor` pixels.

  Of the channels, the row varies slowest, then the column, then the channel of
  the result, as in TensorFlow. PyTorch's pixel shuffle has another order.

  Args:
    x: [B, H, W, factor**2 * C].
    factor: rows and columns that a pixel becomes.

  Returns:
    [B, H * factor, W * factor, C].
  """
  batch, height, width, _ = x.shape
  x = x.reshape(batch, height, width, factor, factor, -1)
  x = x.transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(batch, height * factor, width * factor, -1)
