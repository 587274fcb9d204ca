"""How a kernel moves over an image: which of its taps see which pixels.

All arrays are [B, H, W, C], kernels [rows, columns, C / groups, features].
"""

import dataclasses
import math

import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Window:
  """How a kernel moves over an image."""

  strides: tuple[int, int] = (1, 1)
  padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
  dilation: tuple[int, int] = (1, 1)
  groups: int = 1

  def size(self, shape, kernel):
    """Returns (height, width) of the result, for two shapes."""
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
    """Returns how a kernel of a shape goes back, turned around, over a result.

    So it makes the gradient to the image. Windows have to lie side by side, and
    the padding may not be wider than what a kernel sees beside its first tap.
    """
    padding = tuple(
        tuple(d * (k - 1) - n for n in pad)
        for pad, d, k in zip(
            self.padding, self.dilation, kernel[:2], strict=True
        )
    )
    return dataclasses.replace(self, padding=padding)

  def taps(self, shape, kernel):
    """Yields the taps of a kernel that see pixels, and which.

    Args:
      shape: of the image.
      kernel: shape of the kernel.

    Yields:
      Row and column of the tap, indices of the pixels that it sees, indices of
      those of the result to which they contribute, and the padding that places
      these in the result.
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
          inputs = (everything, *(seen for seen, _ in pairs))
          outputs = (everything, *(slice(a, b) for _, (a, b) in pairs))
          edges = [
              (a, n - b) for (_, (a, b)), n in zip(pairs, size, strict=True)
          ]
          yield i, j, inputs, outputs, ((0, 0), *edges, (0, 0))

  def inside(self, shape, kernel):
    """Returns the part of a kernel's work that does not read padding."""
    size = self.size(shape, kernel)
    seen = sum(
        math.prod(part.stop - part.start for part in outputs[1:])
        for *_, outputs, _ in self.taps(shape, kernel)
    )
    return seen / math.prod((*size, *kernel[:2]))


def _reach(old, new, offset, stride):
  """Returns what a tap sees along an axis, and to what it contributes.

  Pixel i of the `new` is of i * stride + offset of the `old`. None, if those
  are outside.
  """
  start = max(0, -(offset // stride))
  end = min(new, (old - 1 - offset) // stride + 1)
  if end <= start:
    return None
  first, last = (i * stride + offset for i in (start, end - 1))
  return slice(first, last + 1, stride), (start, end)


def pad(x, window):
  """Pads an image with the zeros that a window sees."""
  return jnp.pad(x, ((0, 0), *window.padding, (0, 0)))


def strided(x, shape, window):
  """Yields (i, j, what the tap sees) of a padded image."""
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
  """Pads, and makes images of pixels that lie as far apart as taps."""
  x = jnp.pad(x, ((0, 0), *edges, (0, 0)))
  batch, height, width, channels = x.shape
  rows, columns = dilation
  size = height // rows, width // columns
  x = x.reshape(batch, size[0], rows, size[1], columns, channels)
  return x.transpose(0, 2, 4, 1, 3, 5).reshape(-1, *size, channels)


def join(x, dilation):
  """Takes back what `split` did, but for the padding."""
  rows, columns = dilation
  _, height, width, channels = x.shape
  x = x.reshape(-1, rows, columns, height, width, channels)
  x = x.transpose(0, 3, 1, 4, 2, 5)
  return x.reshape(len(x), height * rows, width * columns, channels)
