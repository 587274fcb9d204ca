"""Winograd's way to convolve by 3x3 kernels: 2x2 pixels by 16 products, not 36.

Lavin and Gray, https://arxiv.org/abs/1509.09308, section 4.1, F(2x2, 3x3).
`forward` and its gradients are as the functions of `ops.lowerings`. `repeated`
and its gradients are for an image of twice the size whose pixels are each
repeated 2x2, which takes 9 products.
"""

from collections.abc import Callable
import dataclasses
import math

from jax import lax
import jax.numpy as jnp

from segjax.kernels import window as windows
from segjax.kernels.barrier import barrier
from segjax.kernels.lowerings import accurate


@dataclasses.dataclass(frozen=True)
class Tile:
  """What is summed of pixels, of taps and of products of both, along an axis.

  The two axes of an image are one like the other: with 4 products along each,
  there are 16.
  """

  reads: int  # Pixels side by side.
  step: int  # To those of the next tile.
  pixels: Callable  # Of these pixels, to a number for each product.
  taps: Callable  # Of three taps, to the other.
  sums: Callable  # Of the products, to pixels of the result.
  sums_gradient: Callable | None = None  # Of the result, to the products.
  taps_gradient: Callable | None = None  # To numbers of taps, to the taps.


ANY = Tile(
    reads=4,
    step=2,
    pixels=lambda a, b, c, d: (a - c, b + c, c - b, b - d),
    taps=lambda a, b, c: (a, (a + b + c) / 2, (a - b + c) / 2, c),
    sums=lambda a, b, c, d: (a + b + c, b - c - d),
    sums_gradient=lambda y, z: (y, y + z, y - z, -z),
    taps_gradient=lambda a, b, c, d: (
        a + (b + c) / 2,
        (b - c) / 2,
        (b + c) / 2 + d,
    ),
)
# Pixels b and c are the same one, so their difference is none.
REPEATED = Tile(
    reads=3,
    step=1,
    pixels=lambda a, b, c: (a - b, b, b - c),
    taps=lambda a, b, c: (a, a + b + c, c),
    sums=lambda a, b, c: (a + b, b - c),
    sums_gradient=lambda y, z: (y, y + z, -z),
    taps_gradient=lambda a, b, c: (a + b, b, b + c),
)
# The gradient to a pixel that is repeated, of what two of it contribute to.
SUMMED = Tile(
    reads=4,
    step=2,
    pixels=lambda a, b, c, d: (d - b, b + c, a - c),
    taps=REPEATED.taps,
    sums=lambda a, b, c: (a + b + c,),
)


def forward(x, kernel, window):
  """Convolves as `window` says; see `fits`."""
  return _convolve(x, kernel, window, 0)


def input_gradient(dy, kernel, window, shape):
  """The same way, by the kernel turned around."""
  del shape
  window = window.turned(kernel.shape)
  return _convolve(dy, kernel[::-1, ::-1], window, 1)


def kernel_gradient(x, dy, window, shape):
  """The same way backward, by 16 contractions."""
  size = dy.shape[1:3]
  edges = [
      (0, -n % (2 * d)) for n, d in zip(size, window.dilation, strict=True)
  ]
  dy = windows.split(accurate(dy), window.dilation, edges)
  return _contract(_split(x, size, window), dy, shape, ANY).astype(x.dtype)


def fits(kernel, window):
  """Tells whether a kernel of a shape and its window can go this way."""
  return (
      (kernel[:2], window.strides, window.groups) == ((3, 3), (1, 1), 1)
      # The gradient to the input pads by what is missing.
      and all(
          max(pads) <= 2 * d
          for pads, d in zip(window.padding, window.dilation, strict=True)
      )
  )


def repeated(x, kernel):
  """Convolves an image that is enlarged by repeating its pixels 2x2.

  Args:
    x: [B, h, w, C].
    kernel: [3, 3, C, features].

  Returns:
    [B, 2h, 2w, features]; beyond the border are zeros.
  """
  return _multiply(_pad(x), kernel, 0, REPEATED).astype(x.dtype)


def repeated_input_gradient(dy, kernel):
  """Returns the gradient to pixels before they are repeated, [B, h, w, C]."""
  return _multiply(_pad(dy), kernel, 1, SUMMED).astype(dy.dtype)


def repeated_kernel_gradient(x, dy, shape):
  """Returns the gradient to a kernel of a shape, by 9 contractions."""
  return _contract(_pad(x), accurate(dy), shape, REPEATED).astype(x.dtype)


def _pad(x):
  """Pads an image to whole tiles of repeated pixels."""
  return windows.pad(accurate(x), windows.Window(padding=((1, 1), (1, 1))))


def _convolve(x, kernel, window, axis):
  """Convolves, with the axis of the kernel's that is summed."""
  size = window.size(x.shape, kernel.shape)
  y = _multiply(_split(x, size, window), kernel, axis, ANY)
  y = windows.join(y, window.dilation)
  return y[:, : size[0], : size[1]].astype(x.dtype)


def _split(x, size, window):
  """Pads an image to whole tiles, and makes one of each dilated grid."""
  edges = [
      (a, 2 * d * (-(-n // (2 * d)) + 1) - old - a)
      for (a, _), n, d, old in zip(
          window.padding, size, window.dilation, x.shape[1:3], strict=True
      )
  ]
  return windows.split(accurate(x), window.dilation, edges)


def _multiply(x, kernel, axis, tile):
  """Multiplies pixels by taps, and places the sums of products in an image."""
  taps = [
      part for row in tile.taps(*accurate(kernel)) for part in tile.taps(*row)
  ]
  products = [
      lax.dot_general(*pair, (((3,), (axis,)), ((), ())))
      for pair in zip(_pixels(x, tile), taps, strict=True)
  ]
  columns = _sums(products, tile.sums)
  y = jnp.stack([jnp.stack(column, 2) for column in columns], 4)
  batch, height, rows, width, columns, features = y.shape
  return y.reshape(batch, height * rows, width * columns, features)


def _contract(x, dy, shape, tile):
  """Returns the gradient to a kernel, of products summed over all tiles."""
  pixels = _pixels(x, tile)
  products = _both_axes(dy, 2, 2, tile.sums_gradient)
  # XLA transposes the first of a pair, so that is the one of fewer channels.
  # It is computed before, else it takes twice as long.
  tall = shape[2] > shape[3]
  pairs = (products, pixels) if tall else (pixels, products)
  everywhere = (0, 1, 2), (0, 1, 2)
  taps = [
      lax.dot_general(barrier(a), b, (everywhere, ((), ())))
      for a, b in zip(*pairs, strict=True)
  ]
  columns = _sums(taps, tile.taps_gradient)
  kernel = jnp.stack([jnp.stack(column) for column in columns], 1)
  # Else XLA would move the transpose to the operands.
  return barrier(kernel).swapaxes(2, 3) if tall else kernel


def _pixels(x, tile):
  """Returns what products take of an image, [b, h, w, C] each."""
  return _both_axes(x, tile.reads, tile.step, tile.pixels)


def _both_axes(x, reads, step, combine):
  """Combines pixels side by side, of rows and then of columns, by rows."""

  def along(x, axis):
    end = x.shape[axis] - reads + 1
    return combine(
        *(lax.slice_in_dim(x, i, end + i, step, axis) for i in range(reads))
    )

  return [part for row in along(x, 1) for part in along(row, 2)]


def _sums(parts, combine):
  """Combines parts of columns and then of rows; returns columns."""
  side = math.isqrt(len(parts))
  rows = [combine(*parts[i : i + side]) for i in range(0, len(parts), side)]
  return [combine(*column) for column in zip(*rows, strict=True)]
