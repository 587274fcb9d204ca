"""Geometry of a convolution: which pixels each tap of a kernel reads.

All arrays are [B, H, W, C], kernels [rows, columns, C / groups, features].
"""

import dataclasses
import math

import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Window:
  """Strides, padding, dilation and groups of a convolution."""

  strides: tuple[int, int] = (1, 1)
  padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
  dilation: tuple[int, int] = (1, 1)
  groups: int = 1

  def size(self, shape, kernel):
    """Returns (height, width) of the output, for shapes of image and kernel."""
    return tuple(
        (n + sum(pad) - d * (k - 1) - 1) // s + 1
        for n, pad, d, k, s in zip(
            shape[1:3],
            self.padding,
            self.dilation,
            kernel[:2],
            self.strides,
            strict=True,
        )
    )

  def turned(self, kernel):
    """Returns the window of the gradient with respect to the image.

    That gradient is a convolution of the output's gradient by the kernel
    rotated by 180 degrees. Strides have to be 1, and the padding may be no
    wider than the reach of the kernel, `dilation * (taps - 1)`.

    Args:
      kernel: shape of the kernel.
    """
    padding = tuple(
        tuple(d * (k - 1) - n for n in pad)
        for pad, d, k in zip(
            self.padding, self.dilation, kernel[:2], strict=True
        )
    )
    return dataclasses.replace(self, padding=padding)

  def taps(self, shape, kernel):
    """Yields the taps of a kernel that read pixels, and which pixels.

    Taps that read padding alone are left out.

    Args:
      shape: shape of the image.
      kernel: shape of the kernel.

    Yields:
      Row and column of the tap; the slices of the image that it reads; the
      slices of the output to which they contribute; and the padding that brings
      such a slice to the size of the output.
    """
    size = self.size(shape, kernel)
    axes = [
        [_reach(n, out, k * d - pad[0], s) for k in range(taps)]
        for n, out, taps, d, pad, s in zip(
            shape[1:3],
            size,
            kernel[:2],
            self.dilation,
            self.padding,
            self.strides,
            strict=True,
        )
    ]
    everything = slice(None)
    for i, rows in enumerate(axes[0]):
      for j, columns in enumerate(axes[1]):
        if rows and columns:
          pairs = rows, columns
          inputs = (everything, *(pixels for pixels, _ in pairs))
          outputs = (everything, *(slice(a, b) for _, (a, b) in pairs))
          edges = [
              (a, n - b) for (_, (a, b)), n in zip(pairs, size, strict=True)
          ]
          yield i, j, inputs, outputs, ((0, 0), *edges, (0, 0))

  def inside(self, shape, kernel):
    """Returns the share of products that read the image and not padding."""
    size = self.size(shape, kernel)
    reads = sum(
        math.prod(part.stop - part.start for part in outputs[1:])
        for *_, outputs, _ in self.taps(shape, kernel)
    )
    return reads / math.prod((*size, *kernel[:2]))


def _reach(old, new, offset, stride):
  """Returns the pixels that a tap reads along one axis, and where they go.

  Output pixel i reads the input pixel i * stride + offset.

  Args:
    old: length of the input.
    new: length of the output.
    offset: position of the tap relative to the first input pixel.
    stride: stride of the output.

  Returns:
    A slice of the input and (start, end) in the output, or None if the tap
    reads padding alone.
  """
  start = max(0, -(offset // stride))
  end = min(new, (old - 1 - offset) // stride + 1)
  if end <= start:
    return None
  first, last = (i * stride + offset for i in (start, end - 1))
  return slice(first, last + 1, stride), (start, end)


def pad(x, window):
  """Pads an image with zeros by the padding of a window."""
  return jnp.pad(x, ((0, 0), *window.padding, (0, 0)))


def strided(x, shape, window):
  """Yields (i, j, the pixels that tap [i, j] reads) of a padded image."""
  unpadded = dataclasses.replace(window, padding=((0, 0), (0, 0)))
  size = unpadded.size(x.shape, shape)
  for i in range(shape[0]):
    for j in range(shape[1]):
      slices = (
          slice(k * d, k * d + (n - 1) * s + 1, s)
          for k, d, n, s in zip(
              (i, j), window.dilation, size, window.strides, strict=True
          )
      )
      yield i, j, x[:, *slices]


def split(x, dilation, edges):
  """Splits padded images into the grids of pixels that are `dilation` apart.

  Args:
    x: [B, H, W, C].
    dilation: (rows, columns); the padded sides are multiples of these.
    edges: padding of zeros, ((above, below), (left, right)).

  Returns:
    [B * rows * columns, H / rows, W / columns, C], sides after padding.
  """
  x = jnp.pad(x, ((0, 0), *edges, (0, 0)))
  batch, height, width, channels = x.shape
  rows, columns = dilation
  size = height // rows, width // columns
  x = x.reshape(batch, size[0], rows, size[1], columns, channels)
  return x.transpose(0, 2, 4, 1, 3, 5).reshape(-1, *size, channels)


def join(x, dilation):
  """Joins the grids that `split` made; the padding stays."""
  rows, columns = dilation
  _, height, width, channels = x.shape
  x = x.reshape(-1, rows, columns, height, width, channels)
  x = x.transpose(0, 3, 1, 4, 2, 5)
  return x.reshape(len(x), height * rows, width * columns, channels)
