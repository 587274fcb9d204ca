"""Enlarging by a learned convolution."""

from flax import linen as nn
import jax.numpy as jnp

from segjax.ops import conv


class Upsample(nn.Module):
  """Transposed convolution that begins as bilinear interpolation.

  FCN, https://arxiv.org/abs/1411.4038, section 3.3. The kernel has twice as
  many rows and columns as the stride. Of n pixels it makes
  (n + 1) * factor - 2 * padding; half a factor of padding keeps the borders
  of the image where they are, and n * factor pixels.
  """

  factor: int
  padding: int = 0
  mix: bool = True  # Channels may mix, else each is enlarged for itself.
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
  """Returns a kernel [h, w, C or 1, C] that interpolates within channels."""
  del key
  rows, columns, others, channels = shape
  channel_map = jnp.eye(channels) if others > 1 else jnp.ones((1, channels))
  kernel = jnp.einsum('h,w,oi->hwoi', tent(rows), tent(columns), channel_map)
  return kernel.astype(dtype)


def tent(size):
  """Returns the weights of linear interpolation around a pixel, [size]."""
  return 1 - jnp.abs(jnp.arange(size) - (size - 1) / 2) * 2 / size
