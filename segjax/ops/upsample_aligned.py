"""Enlarging scores whose corners are those of the image."""

import jax.numpy as jnp

from segjax.ops.resize import resize


def upsample_aligned(x, factor, size):
  """Interpolates linearly between scores at every `factor`-th pixel.

  Networks of Caffe, whose windows are odd and padded, or have no padding at
  all, see the image so, whatever its size.

  Args:
    x: [B, h, w, C]; of row i is row `factor * i` of the result.
    factor: distance of the scores in pixels.
    size: (height, width) of the result. Beyond the last scores these are
      repeated, and scores that lie beyond the image are only interpolated to.

  Returns:
    [B, height, width, C] in the type of `x`.
  """
  wanted = [-(-(side - 1) // factor) + 1 for side in size]
  missing = [
      (0, max(0, w - have))
      for w, have in zip(wanted, x.shape[1:3], strict=True)
  ]
  x = jnp.pad(x, ((0, 0), *missing, (0, 0)), mode='edge')
  full = [factor * (side - 1) + 1 for side in x.shape[1:3]]
  x = resize(x, full, align_corners=True)
  return x[:, : size[0], : size[1]]
