"""Pooling, equal to PyTorch's."""

import functools
import os

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

# Flags of XLA under which it compiles no scatter that adds up for a GPU.
DETERMINISTIC = (
    '--xla_gpu_deterministic_ops',
    '--xla_gpu_exclude_nondeterministic_ops',
)


def adaptive_avg_pool(x: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Averages over a grid of cells that covers the image.

  Where a side is no multiple of the grid, neighbouring cells overlap.

  Args:
    x: [B, H, W, C], any float type; the arithmetic is float32.
    size: (rows, columns) of the grid.

  Returns:
    [B, rows, columns, C] in the type of `x`.

  References:
    PyTorch's `adaptive_avg_pool2d`.
  """
  y = jnp.einsum(
      'rh,bhwc,sw->brsc',
      cells(x.shape[1], size[0]),
      x.astype(jnp.float32),
      cells(x.shape[2], size[1]),
      precision=jax.lax.Precision.HIGHEST,
  )
  return y.astype(x.dtype)


def cells(old: int, new: int) -> np.ndarray:
  """Returns the matrix of means over `new` cells along one axis, [new, old]."""
  matrix = np.zeros((new, old), np.float32)
  for i in range(new):
    start, end = i * old // new, -(-(i + 1) * old // new)
    matrix[i, start:end] = 1 / (end - start)
  return matrix


def avg_pool(
    x: jax.Array,
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
) -> jax.Array:
  """Averages over each window; padded zeros count in the mean.

  It is meant for small windows: it adds up as many arrays as a window has
  pixels.

  Args:
    x: [B, H, W, C], any float type; the arithmetic is float32.
    window: (rows, columns).
    strides: (rows, columns) from a window to the next.
    padding: ((above, below), (left, right)) of zeros.

  Returns:
    [B, height, width, C] in the type of `x`.

  References:
    PyTorch's `avg_pool2d` with its default `count_include_pad=True`.
  """
  padded = _pad(x.astype(jnp.float32), padding, 0)
  total = functools.reduce(jnp.add, _taps(padded, window, strides))
  return (total / np.prod(window)).astype(x.dtype)


def halve(x: jax.Array) -> jax.Array:
  """Averages 3x3 pixels around every second one, zeros beyond the border too.

  Args:
    x: [B, H, W, C].

  Returns:
    [B, H / 2, W / 2, C], odd sides rounded up.
  """
  return avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


def avg_pool_around(x: jax.Array, side: int, stride: int) -> jax.Array:
  """Averages square windows around every `stride`-th pixel.

  Zeros beyond the border count in the mean. It multiplies by a matrix for each
  axis, so windows may be large.

  Args:
    x: [B, H, W, C], any float type; the arithmetic is float32.
    side: rows and columns of a window, an odd number.
    stride: rows and columns from a window to the next.

  Returns:
    [B, H / stride, W / stride, C], sides rounded up, in the type of `x`.

  References:
    PyTorch's `avg_pool2d(x, side, stride, padding=side // 2)`.
  """

  def windows(old):
    centres = np.arange(0, old, stride)
    inside = np.abs(centres[:, None] - np.arange(old)) <= side // 2
    return inside.astype(np.float32) / side

  y = jnp.einsum(
      'rh,bhwc,sw->brsc',
      windows(x.shape[1]),
      x.astype(jnp.float32),
      windows(x.shape[2]),
      precision=jax.lax.Precision.HIGHEST,
  )
  return y.astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def max_pool(
    x: jax.Array,
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
) -> jax.Array:
  """Takes the maximum of each window.

  Of equal values the first, row by row, gets the gradient.

  Args:
    x: [B, H, W, C], any float type.
    window: (rows, columns).
    strides: (rows, columns) from a window to the next.
    padding: ((above, below), (left, right)) of -inf.

  Returns:
    [B, height, width, C] in the type of `x`.

  References:
    PyTorch's `max_pool2d`.
  """
  return lax.platform_dependent(
      x,
      cpu=lambda x: functools.reduce(
          jnp.maximum, _taps(_pad(x, padding), window, strides)
      ),
      default=lambda x: _reduce_window(x, window, strides, padding),
  )


def _forward(x, window, strides, padding):
  y = max_pool(x, window, strides, padding)
  return y, (x, y)


def _gradient(window, strides, padding, saved, dy):
  def scatter(x, y, dy):
    """Differentiates XLA's pooling, which scatters `dy`."""
    del y
    pool = functools.partial(
        _reduce_window, window=window, strides=strides, padding=padding
    )
    return jax.vjp(pool, x)[1](dy)[0]

  def select(x, y, dy):
    """Finds the tap of each maximum, and sums `dy` over the taps.

    It is faster than a scatter on CPUs, see launch/speed.md.
    """
    taps = list(enumerate(_taps(_pad(x, padding), window, strides)))
    first = jnp.full(y.shape, len(taps), jnp.uint8)
    for i, tap in reversed(taps):
      first = jnp.where(tap == y, jnp.uint8(i), first)
    # All taps read both. The barriers keep XLA from fusing this loop with
    # those that compute `dy` and read `dx`, which would be slower.
    first, dy = lax.optimization_barrier((first, dy))
    parts = [
        jnp.where(first == i, dy, jnp.zeros((), dy.dtype)) for i, _ in taps
    ]
    (dx,) = jax.linear_transpose(
        lambda x: list(_taps(_pad(x, padding, 0), window, strides)), x
    )(parts)
    return lax.optimization_barrier(dx)

  # XLA's scatter adds up in any order on a GPU, and is not compiled where that
  # is forbidden.
  default = select if _is_deterministic() else scatter
  return (lax.platform_dependent(*saved, dy, cpu=select, default=default),)


max_pool.defvjp(_forward, _gradient)


def _is_deterministic():
  """Tells whether XLA_FLAGS ask for GPU programs that repeat bit for bit."""
  flags = {}
  for flag in os.environ.get('XLA_FLAGS', '').split():
    name, _, value = flag.partition('=')
    flags[name] = value.lower() in ('', '1', 'true')
  return any(map(flags.get, DETERMINISTIC))


def _reduce_window(x, window, strides, padding):
  return lax.reduce_window(
      x,
      -np.inf,
      lax.max,
      (1, *window, 1),
      (1, *strides, 1),
      ((0, 0), *padding, (0, 0)),
  )


def _pad(x, padding, value=-np.inf):
  return jnp.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)


def _taps(x, window, strides):
  """Yields the pixels at each position of the windows, row by row."""
  size = [
      (n - k) // s + 1
      for n, k, s in zip(x.shape[1:3], window, strides, strict=True)
  ]
  for place in np.ndindex(*window):
    yield x[
        :,
        *(
            slice(k, k + (n - 1) * s + 1, s)
            for k, n, s in zip(place, size, strides, strict=True)
        ),
    ]
