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
    window = conv.Window(
        strides=(self.factor, self.factor),
        padding=((self.padding, self.padding),) * 2,
        groups=1 if self.mix else channels,
    )
    sides = ((n + 1) * self.factor - 2 * self.padding for n in x.shape[1:3])
    y = conv.transpose(x, kernel, window, tuple(sides))
    if self.bias:
      bias = self.param('bias', nn.initializers.zeros, (channels,))
      y += bias.astype(y.dtype)
    return y


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
