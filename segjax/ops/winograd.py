"""Winograd's way to convolve by 3x3 kernels: 2x2 pixels by 16 products, not 36.

Lavin and Gray, https://arxiv.org/abs/1509.09308, section 4.1, F(2x2, 3x3). The
functions are as those of `ops.lowerings`.
"""

import dataclasses

from jax import lax
import jax.numpy as jnp

from segjax.ops import window as windows
from segjax.ops.lowerings import accurate
from segjax.ops.materialize import materialize


def forward(x, kernel, window):
  """Sums of taps times differences of pixels, added up."""
  return _convolve(x, kernel, window, 0)


def input_gradient(dy, kernel, window, shape):
  """The same way, by the kernel turned around; see `fits`."""
  del shape
  padding = tuple(
      (2 * d - before, 2 * d - after)
      for (before, after), d in zip(
          window.padding, window.dilation, strict=True
      )
  )
  turned = dataclasses.replace(window, padding=padding)
  return _convolve(dy, kernel[::-1, ::-1], turned, 1)


def kernel_gradient(x, dy, window, shape):
  """The same way backward, by 16 contractions."""
  pixels = _differences(x, dy.shape[1:3], window)
  products = _product_gradients(dy, window)
  # XLA transposes the first of a pair, so that is the one of fewer channels.
  # It is computed before, else it takes twice as long.
  tall = shape[2] > shape[3]
  pairs = (products, pixels) if tall else (pixels, products)
  everywhere = (0, 1, 2), (0, 1, 2)
  taps = [
      lax.dot_general(materialize(a), b, (everywhere, ((), ())))
      for a, b in zip(*pairs, strict=True)
  ]
  kernel = _kernel_of_gradients(taps)
  # Else XLA would move the transpose to the operands.
  kernel = materialize(kernel).swapaxes(2, 3) if tall else kernel
  return kernel.astype(x.dtype)


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


def _convolve(x, kernel, window, axis):
  """Convolves by 16 products, with the axis of the kernel's that is summed."""
  size = window.size(x.shape, kernel.shape)
  products = [
      lax.dot_general(*pair, (((3,), (axis,)), ((), ())))
      for pair in zip(
          _differences(x, size, window), _tap_sums(kernel), strict=True
      )
  ]
  return _product_sums(products, size, window).astype(x.dtype)


def _differences(x, size, window):
  """Returns what 16 products take of an image, [b, h, w, C] each."""
  edges = [
      (a, 2 * d * (-(-n // (2 * d)) + 1) - old - a)
      for (a, _), n, d, old in zip(
          window.padding, size, window.dilation, x.shape[1:3], strict=True
      )
  ]
  x = windows.split(accurate(x), window.dilation, edges)

  def along(x, axis):
    end = x.shape[axis] - 3
    a, b, c, d = (lax.slice_in_dim(x, i, end + i, 2, axis) for i in range(4))
    return a - c, b + c, c - b, b - d

  return [pixels for row in along(x, 1) for pixels in along(row, 2)]


def _tap_sums(kernel):
  """Returns what 16 products take of a kernel, [C, features] each."""

  def along(taps):
    a, b, c = taps
    outer, inner = (a + c) / 2, b / 2
    return a, outer + inner, outer - inner, c

  return [taps for row in along(accurate(kernel)) for taps in along(row)]


def _kernel_of_gradients(taps):
  """Returns the gradient to a kernel of those to its `_tap_sums`."""

  def along(taps):
    a, b, c, d = taps
    both = (b + c) / 2
    return a + both, (b - c) / 2, both + d

  rows = [along(taps[i : i + 4]) for i in range(0, 16, 4)]
  columns = [along(column) for column in zip(*rows, strict=True)]
  return jnp.stack([jnp.stack(column) for column in columns], 1)


def _product_sums(products, size, window):
  """Returns the image that 16 products make, [B, *size, features]."""

  def sums(products):
    a, b, c, d = products
    return a + b + c, b - c - d

  rows = [sums(products[i : i + 4]) for i in range(0, 16, 4)]
  pixels = [sums(column) for column in zip(*rows, strict=True)]
  y = jnp.stack([jnp.stack(column, 2) for column in pixels], 4)
  batch, height, _, width, _, features = y.shape
  y = windows.join(
      y.reshape(batch, 2 * height, 2 * width, features), window.dilation
  )
  return y[:, : size[0], : size[1]]


def _product_gradients(dy, window):
  """Returns the gradients to what `_product_sums` sums."""
  edges = [
      (0, -n % (2 * d))
      for n, d in zip(dy.shape[1:3], window.dilation, strict=True)
  ]
  dy = windows.split(accurate(dy), window.dilation, edges)

  def along(y, axis):
    a, b = (lax.slice_in_dim(y, i, y.shape[axis], 2, axis) for i in range(2))
    return a, a + b, a - b, -b

  return [pixels for row in along(dy, 1) for pixels in along(row, 2)]
