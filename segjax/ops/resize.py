"""Resizing of feature maps, equal to PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np


def resize(x, size, *, align_corners=False, method='bilinear'):
  """Resizes the two spatial axes, without antialiasing.

  `jax.image.resize` antialiases when it shrinks and has no `align_corners`;
  published weights expect neither. Two small matrix products do it on every
  platform, and so does their gradient.

  Args:
    x: [B, H, W, C], any float type; the arithmetic is float32.
    size: (height, width) of the result.
    align_corners: maps the centres of the corner pixels onto each other
      instead of the outer edges of the image.
    method: 'bilinear', 'bicubic' or 'nearest', which has no corners to align.

  Returns:
    [B, height, width, C] in the type of `x`.

  References:
    PyTorch's `interpolate`, all three modes, both values of `align_corners`.
  """
  if method not in METHODS:
    raise ValueError(
        f'There is no method {method!r}. Known: {", ".join(METHODS)}.'
    )
  matrix = METHODS[method]
  y = x.astype(jnp.float32)
  if x.shape[1] != size[0]:
    rows = matrix(x.shape[1], size[0], align_corners)
    y = jnp.einsum(
        'oh,bhwc->bowc', rows, y, precision=jax.lax.Precision.HIGHEST
    )
  if x.shape[2] != size[1]:
    cols = matrix(x.shape[2], size[1], align_corners)
    y = jnp.einsum(
        'ow,bhwc->bhoc', cols, y, precision=jax.lax.Precision.HIGHEST
    )
  return y.astype(x.dtype)


def weights(old, new, align_corners=False):
  """Returns the matrix of linear interpolation along one axis, [new, old]."""
  source = np.maximum(positions(old, new, align_corners), 0)
  low = np.minimum(source.astype(int), old - 1)
  high = np.minimum(low + 1, old - 1)
  matrix = np.zeros((new, old), np.float32)
  np.add.at(matrix, (np.arange(new), low), 1 - (source - low))
  np.add.at(matrix, (np.arange(new), high), source - low)
  return matrix


def cubic_weights(old, new, align_corners=False):
  """Returns the matrix of cubic interpolation along one axis, [new, old].

  The kernel is PyTorch's, Keys' with a = -0.75; `jax.image.resize` has -0.5.
  """
  source, a = positions(old, new, align_corners), -0.75
  matrix = np.zeros((new, old), np.float32)
  for shift in (-1, 0, 1, 2):
    index = np.floor(source).astype(int) + shift
    d = np.abs(source - index)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * (d**3 - 5 * d**2 + 8 * d - 4)
    index = np.clip(index, 0, old - 1)
    np.add.at(matrix, (np.arange(new), index), np.where(d <= 1, near, far))
  return matrix


def nearest_weights(old, new, align_corners=False):
  """Returns the matrix that picks pixels along one axis, [new, old].

  New pixel i is the old one at i * old / new, rounded down: for factors that
  are no whole numbers, not always the one nearest to its centre.
  """
  if align_corners:
    raise ValueError("The method 'nearest' has no corners to align.")
  return np.eye(old, dtype=np.float32)[np.arange(new) * old // new]


def positions(old, new, align_corners):
  """Returns where the new pixels lie among the old ones, [new]."""
  if align_corners:
    return np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)
  return (np.arange(new) + 0.5) * old / new - 0.5


METHODS = {
    'bilinear': weights,
    'bicubic': cubic_weights,
    'nearest': nearest_weights,
}
