"""Bilinear resizing of feature maps, equal to PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np


def resize(x, size, *, align_corners=False):
  """Resizes the two spatial axes bilinearly, without antialiasing.

  `jax.image.resize` antialiases when it shrinks and has no `align_corners`;
  published weights expect neither. Two small matrix products do it on every
  platform, and so does their gradient.

  Args:
    x: [B, H, W, C], any float type; the arithmetic is float32.
    size: (height, width) of the result.
    align_corners: maps the centres of the corner pixels onto each other
      instead of the outer edges of the image.

  Returns:
    [B, height, width, C] in the type of `x`.

  References:
    PyTorch's `interpolate(mode='bilinear')`, both values of `align_corners`.
  """
  y = x.astype(jnp.float32)
  if x.shape[1] != size[0]:
    rows = weights(x.shape[1], size[0], align_corners)
    y = jnp.einsum(
        'oh,bhwc->bowc', rows, y, precision=jax.lax.Precision.HIGHEST
    )
  if x.shape[2] != size[1]:
    cols = weights(x.shape[2], size[1], align_corners)
    y = jnp.einsum(
        'ow,bhwc->bhoc', cols, y, precision=jax.lax.Precision.HIGHEST
    )
  return y.astype(x.dtype)


def weights(old, new, align_corners=False):
  """Returns the matrix of linear interpolation along one axis, [new, old]."""
  if align_corners:
    source = np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)
  else:
    source = np.maximum((np.arange(new) + 0.5) * old / new - 0.5, 0)
  low = np.minimum(source.astype(int), old - 1)
  high = np.minimum(low + 1, old - 1)
  matrix = np.zeros((new, old), np.float32)
  np.add.at(matrix, (np.arange(new), low), 1 - (source - low))
  np.add.at(matrix, (np.arange(new), high), source - low)
  return matrix
