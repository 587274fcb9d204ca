"""Bilinear upsampling of scores that lie at every n-th pixel of an image."""

import jax
import jax.numpy as jnp

from segjax.ops.resize import resize


def upsample_aligned(
    x: jax.Array, factor: int, size: tuple[int, int]
) -> jax.Array:
  """Interpolates bilinearly between scores at every `factor`-th pixel.

  Score i lies at pixel `factor * i`. That holds for the networks of Caffe at
  any image size, since their kernels are odd and padded, or not padded at all.

  Args:
    x: [B, h, w, C].
    factor: distance of the scores in pixels.
    size: (height, width) of the result. Pixels beyond the last score repeat it.
      Scores beyond the last pixel only serve for interpolation.

  Returns:
    [B, height, width, C] in the type of `x`.
  """
  needed = [-(-(side - 1) // factor) + 1 for side in size]
  missing = [
      (0, max(0, n - have))
      for n, have in zip(needed, x.shape[1:3], strict=True)
  ]
  x = jnp.pad(x, ((0, 0), *missing, (0, 0)), mode='edge')
  full = [factor * (side - 1) + 1 for side in x.shape[1:3]]
  x = resize(x, full, align_corners=True)
  return x[:, : size[0], : size[1]]
