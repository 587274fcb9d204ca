"""Dilated convolutions that are smoothed against gridding artifacts."""

from collections.abc import Callable
import functools

from flax import linen as nn
from flax.linen.dtypes import promote_dtype
import jax.numpy as jnp

from segjax.kernels.window import Window
from segjax.layers.conv import conv
from segjax.layers.conv import he_normal
from segjax.ops.conv import conv as convolve
from segjax.ops.smoothing import add_filtered
from segjax.ops.smoothing import mix_grids


def _identity(key, shape, dtype=jnp.float32):
  del key
  return jnp.eye(*shape, dtype=dtype)


class GroupInteractionConv(nn.Module):
  """Applies a dilated convolution, and mixes its interleaved grids.

  Zeros at the bottom and on the right bring sides to multiples of the dilation.
  As in the authors' code, what is convolved there takes part in the mixing. The
  layer starts as a plain dilated convolution.
  """

  features: int
  kernel: int
  dilation: int
  kernel_init: Callable = he_normal

  @nn.compact
  def __call__(self, x):
    side, (height, width) = self.dilation, x.shape[1:3]
    shape = self.kernel, self.kernel, x.shape[-1], self.features
    kernel = self.param('kernel', self.kernel_init, shape)
    weights = self.param('smoothing', _identity, (side**2, side**2))
    x, kernel, weights = promote_dtype(x, kernel, weights)
    behind = [(0, -n % side) for n in (height, width)]
    x = jnp.pad(x, ((0, 0), *behind, (0, 0)))
    y = convolve(x, kernel, _window(self.kernel, side))
    return mix_grids(y, weights)[:, :height, :width]


class SeparableSharedConv(nn.Module):
  """Applies a filter that all channels share, and a dilated convolution.

  The filter is as wide as the gaps between the weights of the convolution. The
  layer starts as a plain dilated convolution.
  """

  features: int
  kernel: int
  dilation: int
  kernel_init: Callable = he_normal

  @nn.compact
  def __call__(self, x):
    side = 2 * self.dilation - 1
    shape = self.kernel, self.kernel, x.shape[-1], self.features
    kernel = self.param('kernel', self.kernel_init, shape)
    weights = self.param('smoothing', nn.initializers.zeros, (side, side))
    x, kernel, weights = promote_dtype(x, kernel, weights)
    window = _window(self.kernel, self.dilation)
    return convolve(add_filtered(x, weights), kernel, window)


def _window(kernel, dilation):
  """Returns the window of a dilated convolution that keeps the size."""
  padding = dilation * (kernel - 1) // 2
  return Window(
      padding=((padding, padding),) * 2, dilation=(dilation, dilation)
  )


LAYERS = {'interaction': GroupInteractionConv, 'separable': SeparableSharedConv}


@functools.cache
def smoothed(smoothing: str) -> Callable[..., nn.Module]:
  """Returns a function like `conv` whose layers are smoothed if they dilate.

  Args:
    smoothing: 'interaction' of the groups of pixels that a dilated convolution
      keeps apart, 'separable' and shared smoothing of its input, or '' for
      `conv` itself.

  Raises:
    ValueError: there is no such smoothing.
  """
  if not smoothing:
    return conv
  if smoothing not in LAYERS:
    raise ValueError(
        f'smoothing={smoothing!r}: it is one of {", ".join(LAYERS)}, or empty'
        ' for none.'
    )

  def layer(features, kernel=3, *, dilation=1, init=he_normal, name, **others):
    if dilation == 1:
      return conv(features, kernel, init=init, name=name, **others)
    changed = {
        field: value
        for field, value in others.items()
        if value != conv.__kwdefaults__[field]
    }
    if changed:
      raise ValueError(
          f'smoothing={smoothing!r} is for dilated convolutions of one group,'
          f' without strides, padding of their own or bias; {name} has'
          f' {changed}. Choose another backbone, or leave smoothing out.'
      )
    return LAYERS[smoothing](features, kernel, dilation, init, name=name)

  return layer
