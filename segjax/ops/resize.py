"""Resizing of feature maps, equal to PyTorch's `interpolate`."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from segjax import parallel
from segjax.kernels.barrier import barrier

# Number of operations below which a CPU resizes by a matrix product.
SMALL = 1e7


def resize(
    x: jax.Array,
    size: tuple[int, int],
    *,
    align_corners: bool = False,
    method: str = 'bilinear',
) -> jax.Array:
  """Resizes the two spatial axes, without antialiasing.

  `jax.image.resize` antialiases when it shrinks and has no `align_corners`, so
  published weights would not carry over. Each axis is multiplied by a sparse
  matrix, unless every pixel is only repeated.

  Args:
    x: [B, H, W, C], any float type; the arithmetic is float32.
    size: (height, width) of the result.
    align_corners: whether the centres of the corner pixels coincide, else the
      outer edges of the image do.
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
  pairs = list(zip(x.shape[1:3], size, strict=True))
  rows, columns = (
      METHODS[method](old, new, align_corners) if old != new else None
      for old, new in pairs
  )
  if method == 'nearest' and all(new % old == 0 for old, new in pairs):
    return _repeat(x, *(new // old for old, new in pairs))
  return _sample(x, rows, columns)


def rescale(
    x: jax.Array, factor: float, *, method: str = 'bilinear'
) -> jax.Array:
  """Scales the two spatial axes, without antialiasing.

  Sizes are rounded down, but the samples stay exactly 1 / `factor` apart. A
  factor of 0.5 samples 5 pixels at 0.5 and 2.5, where `resize` to 2 pixels
  samples at 0.75 and 3.25.

  Args:
    x: [B, H, W, C], any float type; the arithmetic is float32.
    factor: factor of both sides.
    method: 'bilinear' or 'bicubic'.

  Returns:
    [B, height, width, C] in the type of `x`.

  References:
    PyTorch's `interpolate` with a `scale_factor`, which is not recomputed.
  """
  matrices = (
      METHODS[method](old, int(old * factor), step=1 / factor)
      for old in x.shape[1:3]
  )
  return _sample(x, *matrices)


def _repeat(x, rows, columns):
  """Repeats each pixel `rows` x `columns` times."""
  batch, height, width, channels = x.shape
  y = jnp.broadcast_to(
      x[:, :, None, :, None],
      (batch, height, rows, width, columns, channels),
  )
  return y.reshape(batch, height * rows, width * columns, channels)


def _sample(x, rows, columns):
  """Multiplies both axes by matrices [new, old]; None skips an axis."""
  y = x.astype(jnp.float32)
  for axis, matrix in ((1, rows), (2, columns)):
    if matrix is not None:
      y = _along(y, matrix, axis)
  return y.astype(x.dtype)


def _along(x, matrix, axis):
  """Multiplies an axis by a matrix, and its gradient by the transpose."""

  @jax.custom_vjp
  def apply(x):
    return _multiply(x, matrix, axis)

  apply.defvjp(
      lambda x: (apply(x), None),
      lambda _, dy: (_multiply(dy, matrix.T, axis),),
  )
  return apply(x)


def _multiply(x, matrix, axis):
  """Multiplies an axis of x [B, H, W, C] by a sparse matrix [new, old].

  CPUs and GPUs compute a sum over the nonzero entries of each row, except for
  small products on CPUs and long sums; see launch/speed.md.
  """

  def product(x):
    old = 'bhwc'[axis]
    spec = f'n{old},bhwc->' + 'bhwc'.replace(old, 'n')
    return jnp.einsum(spec, matrix, x, precision=jax.lax.Precision.HIGHEST)

  def sum_of_taps(x):
    # Each pixel is read several times, so it is computed once before.
    x = barrier(x)
    y = sum(
        _take(x, index, axis) * weight.reshape(-1, *[1] * (3 - axis))
        for index, weight in taps
    )
    return barrier(y)

  # Where a mesh splits images by rows, XLA's partitioner exchanges less for
  # products than for sums.
  if parallel.rows() > 1:
    return product(x)
  taps = _taps(matrix)
  # Long sums take long to compile, and so do the many small ones of an HRNet.
  small = 2 * x.size * len(matrix) < SMALL
  gpu = product if len(taps) > 32 else sum_of_taps
  cpu = product if small else gpu
  return jax.lax.platform_dependent(x, cpu=cpu, cuda=gpu, default=product)


def _take(x, index, axis):
  """Gathers rows (axis 1) or columns (axis 2) of x [B, H, W, C] by `index`.

  The gather has a batch axis. Without one, as in `jnp.take`, XLA lays the
  result out with `axis` first and has to copy it.
  """
  before, after = x.shape[:axis], x.shape[axis + 1 :]
  parts = x.reshape(math.prod(before), x.shape[axis], math.prod(after))
  index = jnp.broadcast_to(index[:, None], (len(parts), len(index), 1))
  y = jnp.take_along_axis(parts, index, axis=1, mode='clip')
  return y.reshape(*before, -1, *after)


def _taps(matrix):
  """Splits a matrix [new, old] into terms with one entry per row.

  Returns:
    [(column [new], value [new]), ...].
  """
  most = np.count_nonzero(matrix, axis=1).max()
  # A stable sort puts the nonzero columns of each row first, in their order.
  index = np.argsort(matrix == 0, axis=1, kind='stable')[:, :most]
  weight = np.take_along_axis(matrix, index, axis=1)
  return list(zip(index.T, weight.T, strict=True))


def weights(
    old: int, new: int, align_corners: bool = False, step: float = 0.0
) -> np.ndarray:
  """Returns the matrix of linear interpolation along one axis, [new, old]."""
  source = np.maximum(positions(old, new, align_corners, step), 0)
  low = np.minimum(source.astype(int), old - 1)
  high = np.minimum(low + 1, old - 1)
  matrix = np.zeros((new, old), np.float32)
  np.add.at(matrix, (np.arange(new), low), 1 - (source - low))
  np.add.at(matrix, (np.arange(new), high), source - low)
  return matrix


def cubic_weights(
    old: int, new: int, align_corners: bool = False, step: float = 0.0
) -> np.ndarray:
  """Returns the matrix of cubic interpolation along one axis, [new, old].

  The kernel is Keys' with a = -0.75, as in PyTorch; `jax.image.resize` has
  a = -0.5.
  """
  source, a = positions(old, new, align_corners, step), -0.75
  matrix = np.zeros((new, old), np.float32)
  for shift in (-1, 0, 1, 2):
    index = np.floor(source).astype(int) + shift
    d = np.abs(source - index)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * (d**3 - 5 * d**2 + 8 * d - 4)
    index = np.clip(index, 0, old - 1)
    np.add.at(matrix, (np.arange(new), index), np.where(d <= 1, near, far))
  return matrix


def nearest_weights(
    old: int, new: int, align_corners: bool = False
) -> np.ndarray:
  """Returns the matrix of nearest neighbours along one axis, [new, old].

  As in PyTorch, new pixel i is the old pixel i * old / new, rounded down. For
  factors that are no whole numbers this is not always the nearest pixel.
  """
  if align_corners:
    raise ValueError(
        "The method 'nearest' has no corners to align: leave align_corners out."
    )
  return np.eye(old, dtype=np.float32)[np.arange(new) * old // new]


def positions(
    old: int, new: int, align_corners: bool, step: float = 0.0
) -> np.ndarray:
  """Returns the positions of the new pixels in indices of old ones, [new].

  Args:
    old: length of the axis.
    new: new length of the axis.
    align_corners: see `resize`.
    step: distance of the new pixels; 0 is `old / new`.
  """
  if align_corners:
    return np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)
  return (np.arange(new) + 0.5) * (step or old / new) - 0.5


METHODS = {
    'bilinear': weights,
    'bicubic': cubic_weights,
    'nearest': nearest_weights,
}
