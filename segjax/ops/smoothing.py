"""Smoothing of dilated convolutions, against gridding artifacts.

A convolution with dilation d convolves d * d grids of pixels, each by itself:
neighbouring outputs have no input in common. Wang and Ji, Smoothed Dilated
Convolutions for Improved Dense Prediction, 2018,
https://arxiv.org/abs/1808.08931.
"""

import jax
import jax.numpy as jnp

from segjax.kernels.window import Window
from segjax.ops.conv import conv


def mix_grids(x: jax.Array, weights: jax.Array) -> jax.Array:
  """Replaces each grid of pixels by a weighted sum of all grids.

  Grid `row * d + column` has the pixels whose row and column, modulo d, are
  these.

  Args:
    x: [B, H, W, C], with sides that are multiples of d.
    weights: [d * d, d * d]; `weights[j, i]` is the weight of grid j in the new
      grid i.

  Returns:
    [B, H, W, C].

  References:
    Section 3.3 of the paper, group interaction.
  """
  batch, height, width, channels = x.shape
  side = round(len(weights) ** 0.5)
  x = x.reshape(batch, height // side, side, width // side, side, channels)
  weights = weights.reshape((side,) * 4)
  # The default of accelerators would round the values of each pixel, and the
  # identity would not be one.
  y = jnp.einsum(
      'bhiwjc,ijkl->bhkwlc', x, weights, precision=jax.lax.Precision.HIGHEST
  )
  return y.reshape(batch, height, width, channels)


def add_filtered(x: jax.Array, weights: jax.Array) -> jax.Array:
  """Adds to an image its convolution with one filter for all channels.

  Args:
    x: [B, H, W, C].
    weights: [rows, columns], odd numbers.

  Returns:
    [B, H, W, C].

  References:
    Section 3.4 of the paper, separable and shared convolution; the filter there
    is `weights` with 1 added to the one in the middle.
  """
  channels = x.shape[-1]
  kernel = jnp.broadcast_to(
      weights[..., None, None], (*weights.shape, 1, channels)
  )
  padding = tuple((n // 2, n // 2) for n in weights.shape)
  return x + conv(x, kernel, Window(padding=padding, groups=channels))
