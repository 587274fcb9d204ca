"""Winograd's 3x3 convolution: 16 multiplications for 2x2 pixels instead of 36.

Lavin and Gray, https://arxiv.org/abs/1509.09308, section 4.1, F(2x2, 3x3).
`forward` and its gradients have the signatures of `kernels.lowerings`.
`repeated` and its gradients convolve an image after nearest-neighbour
upsampling by 2; since neighbours are then equal, 9 multiplications are enough.
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
  """The transforms of Winograd's algorithm along one axis.

  Both axes are transformed alike: with 4 products along each there are 16.

  Attributes:
    reads: number of neighbouring input pixels that a tile reads.
    step: distance from a tile to the next, in input pixels.
    pixels: transforms the pixels of a tile into one factor of each product.
    taps: transforms the three taps into the other factor.
    sums: combines the products into output pixels.
    sums_gradient: maps gradients of output pixels to those of the products.
    taps_gradient: maps gradients of transformed taps to those of the taps.
  """

  reads: int
  step: int
  pixels: Callable
  taps: Callable
  sums: Callable
  sums_gradient: Callable | None = None
  taps_gradient: Callable | None = None


F2X2_3X3 = Tile(
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
# Pixels b and c of F2X2_3X3 are copies of one pixel here, so the product with
# c - b is 0 and left out.
REPEATED = Tile(
    reads=3,
    step=1,
    pixels=lambda a, b, c: (a - b, b, b - c),
    taps=lambda a, b, c: (a, a + b + c, c),
    sums=lambda a, b, c: (a + b, b - c),
    sums_gradient=lambda y, z: (y, y + z, -z),
    taps_gradient=lambda a, b, c: (a + b, b, b + c),
)
# The gradient with respect to a pixel that was repeated sums over its copies.
SUMMED = Tile(
    reads=4,
    step=2,
    pixels=lambda a, b, c, d: (d - b, b + c, a - c),
    taps=REPEATED.taps,
    sums=lambda a, b, c: (a + b + c,),
)


def forward(x, kernel, window):
  """Convolves by kernels and windows that `fits` accepts."""
  return _convolve(x, kernel, window, 0)


def input_gradient(dy, kernel, window, shape):
  """Returns the gradient to the input: a convolution by the rotated kernel."""
  del shape
  window = window.turned(kernel.shape)
  return _convolve(dy, kernel[::-1, ::-1], window, 1)


def kernel_gradient(x, dy, window, shape):
  """Returns the gradient to the kernel, by 16 contractions over all tiles."""
  size = dy.shape[1:3]
  edges = [
      (0, -n % (2 * d)) for n, d in zip(size, window.dilation, strict=True)
  ]
  dy = windows.split(accurate(dy), window.dilation, edges)
  return _contract(_split(x, size, window), dy, shape, F2X2_3X3).astype(x.dtype)


def fits(kernel, window):
  """Tells whether this algorithm can compute a convolution.

  Args:
    kernel: shape of the kernel.
    window: its `Window`.
  """
  return (
      (kernel[:2], window.strides, window.groups) == ((3, 3), (1, 1), 1)
      # The gradient to the input is padded by the reach of the kernel less the
      # padding, and that may not be negative.
      and all(
          max(pads) <= 2 * d
          for pads, d in zip(window.padding, window.dilation, strict=True)
      )
  )


def repeated(x, kernel):
  """Convolves an image after repeating each of its pixels 2x2.

  Args:
    x: [B, h, w, C].
    kernel: [3, 3, C, features].

  Returns:
    [B, 2h, 2w, features]; the border is padded with zeros.
  """
  return _multiply(_pad(x), kernel, 0, REPEATED).astype(x.dtype)


def repeated_input_gradient(dy, kernel):
  """Returns the gradient of `repeated` to its input, [B, h, w, C]."""
  return _multiply(_pad(dy), kernel, 1, SUMMED).astype(dy.dtype)


def repeated_kernel_gradient(x, dy, shape):
  """Returns the gradient of `repeated` to its kernel, of shape `shape`."""
  return _contract(_pad(x), accurate(dy), shape, REPEATED).astype(x.dtype)


def _pad(x):
  """Pads each side by the one pixel that tiles of repeated pixels need."""
  return windows.pad(accurate(x), windows.Window(padding=((1, 1), (1, 1))))


def _convolve(x, kernel, window, axis):
  """Convolves; `axis` of a tap [C, features] is summed over: 0 is forward."""
  size = window.size(x.shape, kernel.shape)
  y = _multiply(_split(x, size, window), kernel, axis, F2X2_3X3)
  y = windows.join(y, window.dilation)
  return y[:, : size[0], : size[1]].astype(x.dtype)


def _split(x, size, window):
  """Pads an image to whole tiles and splits it into its dilated grids."""
  edges = [
      (a, 2 * d * (-(-n // (2 * d)) + 1) - old - a)
      for (a, _), n, d, old in zip(
          window.padding, size, window.dilation, x.shape[1:3], strict=True
      )
  ]
  return windows.split(accurate(x), window.dilation, edges)


def _multiply(x, kernel, axis, tile):
  """Multiplies transformed pixels and taps, and assembles the output."""
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
  """Returns the gradient to a kernel: products summed over all tiles."""
  pixels = _pixels(x, tile)
  products = _both_axes(dy, 2, 2, tile.sums_gradient)
  # XLA transposes the first operand, so it is the one of fewer channels. The
  # barrier has it computed before: fused, the product takes twice as long.
  tall = shape[2] > shape[3]
  pairs = (products, pixels) if tall else (pixels, products)
  pixel_axes = (0, 1, 2), (0, 1, 2)
  taps = [
      lax.dot_general(barrier(a), b, (pixel_axes, ((), ())))
      for a, b in zip(*pairs, strict=True)
  ]
  columns = _sums(taps, tile.taps_gradient)
  kernel = jnp.stack([jnp.stack(column) for column in columns], 1)
  # Without the barrier XLA would move the transpose to the operands.
  return barrier(kernel).swapaxes(2, 3) if tall else kernel


def _pixels(x, tile):
  """Returns the transformed pixels, one array [b, h, w, C] per product."""
  return _both_axes(x, tile.reads, tile.step, tile.pixels)


def _both_axes(x, reads, step, combine):
  """Applies a transform along rows and then columns; returns row by row."""

  def along(x, axis):
    end = x.shape[axis] - reads + 1
    return combine(
        *(lax.slice_in_dim(x, i, end + i, step, axis) for i in range(reads))
    )

  return [part for row in along(x, 1) for part in along(row, 2)]


def _sums(parts, combine):
  """Combines the products along rows and then columns; returns columns."""
  side = math.isqrt(len(parts))
  rows = [combine(*parts[i : i + side]) for i in range(0, len(parts), side)]
  return [combine(*column) for column in zip(*rows, strict=True)]
