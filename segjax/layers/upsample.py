"""Upsampling by a trained transposed convolution."""

from flax import linen as nn
import jax.numpy as jnp

from segjax.ops import conv


class Upsample(nn.Module):
  """Enlarges by a transposed convolution that starts as bilinear.

  FCN, https://arxiv.org/abs/1411.4038, section 3.3. The kernel has 2 * factor
  rows and columns. A side of n pixels becomes (n + 1) * factor - 2 * padding
  pixels; with padding = factor / 2 that is n * factor, and the borders of the
  image stay where they are.
  """

  factor: int
  padding: int = 0  # Pixels cut off on each side of the output.
  mix: bool = True  # One kernel over all channels; else each has its own.
  bias: bool = False

  @nn.compact
  def __call__(self, x):
    channels, size = x.shape[-1], 2 * self.factor
    shape = (size, size, channels if self.mix else 1, channels)
    kernel = self.param('kernel', bilinear, shape).astype(x.dtype)
    sides = tuple(
        (n + 1) * self.factor - 2 * self.padding for n in x.shape[1:3]
    )
    if self.mix:
      window = conv.Window(
          strides=(self.factor, self.factor),
          padding=((self.padding, self.padding),) * 2,
      )
      y = conv.transpose(x, kernel, window, sides)
    else:
      first = self.padding
      rows, columns = (slice(first, first + side) for side in sides)
      y = stamp(x, kernel[:, :, 0])[:, rows, columns]
    if self.bias:
      bias = self.param('bias', nn.initializers.zeros, (channels,))
      y += bias.astype(y.dtype)
    return y


def stamp(x, kernel):
  """Applies a transposed convolution within each channel.

  Each pixel adds its kernel to 2x2 cells of the result, so a cell is the sum of
  four products. XLA's grouped transposed convolution is a few hundred times
  slower on CPUs.

  Args:
    x: [B, h, w, C].
    kernel: [2 * n, 2 * n, C]; the stride is n.

  Returns:
    [B, (h + 1) * n, (w + 1) * n, C] in the type of `x`.
  """
  batch, height, width, channels = x.shape
  n = len(kernel) // 2
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).astype(jnp.float32)
  cells = kernel.reshape(2, n, 2, n, channels).astype(jnp.float32)
  y = 0.0
  for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
    rows, columns = slice(1 - i, height + 2 - i), slice(1 - j, width + 2 - j)
    pixels = padded[:, rows, None, columns, None]
    y += pixels * cells[i, :, None, j]
  y = y.reshape(batch, (height + 1) * n, (width + 1) * n, channels)
  return y.astype(x.dtype)


def bilinear(key, shape, dtype=jnp.float32):
  """Initialises a kernel [h, w, C or 1, C] to interpolate within channels."""
  del key
  rows, columns, inputs, channels = shape
  channel_map = jnp.eye(channels) if inputs > 1 else jnp.ones((1, channels))
  kernel = jnp.einsum('h,w,oi->hwoi', tent(rows), tent(columns), channel_map)
  return kernel.astype(dtype)


def tent(size):
  """Returns the weights of linear interpolation around a pixel, [size]."""
  return 1 - jnp.abs(jnp.arange(size) - (size - 1) / 2) * 2 / size
