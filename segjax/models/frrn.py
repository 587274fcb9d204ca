"""FRRN, full-resolution residual networks, https://arxiv.org/abs/1611.08323.

Two streams run side by side: one keeps the size of the image, and units only
add to it; the other is pooled and enlarged like that of an encoder and decoder,
and reads the first at each unit (figure 2). Variant 'A' pools four times, 'B'
five times. This is the authors' network (TobyPDE/FRRN), against a PyTorch copy
of which it was checked; sides that are no multiples of 16, of 'B' of 32, are
padded with zeros.

Other ports differ: that of meetps/pytorch-semseg gives all units of a stage the
same features, and that of GeorgeSeif's Semantic-Segmentation-Suite leaves out
the identity of the residual units.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.norm import BatchNorm
from segjax.ops.pad import pad_to_multiple
from segjax.ops.pool import max_pool
from segjax.ops.resize import resize
from segjax.ops.upsample_aligned import upsample_aligned

# Units of each stage of the encoder, after pooling, and of the decoder, after
# upsampling, and what they multiply the channels by; table 1.
VARIANTS = {
    'A': (((3, 2), (4, 4), (2, 8), (2, 8)), ((2, 4), (2, 4), (2, 2))),
    'B': (
        ((3, 2), (4, 4), (2, 8), (2, 8), (2, 8)),
        ((2, 4), (2, 4), (2, 4), (2, 2)),
    ),
}

he_uniform = nn.initializers.he_uniform()
# Of convolutions without a ReLU behind them.
linear_init = nn.initializers.lecun_uniform()
norm_conv = functools.partial(
    ConvNormAct,
    norm=functools.partial(BatchNorm, epsilon=1e-4),
    init=he_uniform,
)


class ResidualUnit(nn.Module):
  """Adds two 3x3 convolutions to the input; figure 3a.

  No activation follows the sum. A 1x1 convolution projects an input that has
  other channels.
  """

  features: int

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    y = norm_conv(self.features, name='conv1')(x, train)
    y = norm_conv(self.features, act=None, init=linear_init, name='conv2')(
        y, train
    )
    if x.shape[-1] != self.features:
      x = conv(self.features, 1, init=linear_init, name='shortcut')(x)
    return x + y


class FullResolutionUnit(nn.Module):
  """Convolves pooled features and a pooled residual stream; figure 3c.

  What it adds to the residual stream is a 1x1 convolution of the result, whose
  pixels are repeated.
  """

  features: int
  stride: int  # Of the pooled features, a power of 2.

  @remat.block
  @nn.compact
  def __call__(self, x, residual, train):
    """Returns the new features and the new residual stream.

    Args:
      x: features, [B, H / stride, W / stride, C].
      residual: [B, H, W, lanes].
      train: whether norms take their statistics from the batch.
    """
    pooled, stride = residual, 1
    while stride < self.stride:  # Maxima of maxima, a few at a time.
      pooled, stride = max_pool(pooled, (2, 2), (2, 2)), 2 * stride
    x = jnp.concatenate([x, pooled], -1)
    x = norm_conv(self.features, name='conv1')(x, train)
    x = norm_conv(self.features, name='conv2')(x, train)
    y = conv(
        residual.shape[-1], 1, bias=True, init=linear_init, name='residual'
    )(x)
    return x, residual + resize(y, residual.shape[1:3], method='nearest')


class Model(nn.Module):
  """Stem, two streams down and up again, residual units, classifier."""

  num_classes: int
  variant: str = 'A'  # Or 'B'.
  features: int = 48  # Channels at the size of the image.
  lanes: int = 32  # Channels of the residual stream.

  @nn.compact
  def __call__(self, image, *, train=False):
    if self.variant not in VARIANTS:
      raise ValueError(
          f'variant={self.variant!r}: FRRN has {", ".join(VARIANTS)}.'
      )
    encoder, decoder = VARIANTS[self.variant]
    x = pad_to_multiple(image, 2 ** len(encoder))
    x = norm_conv(self.features, kernel=5, name='stem')(x, train)
    for i in range(3):
      x = ResidualUnit(self.features, name=f'start{i}')(x, train)
    residual = norm_conv(
        self.lanes, kernel=1, act=None, init=linear_init, name='split'
    )(x, train)

    def units(x, residual, count, factor, name):
      for i in range(count):
        x, residual = FullResolutionUnit(
            self.features * factor, stride, name=f'{name}_{i}'
        )(x, residual, train)
      return x, residual

    stride = 1
    for stage, (count, factor) in enumerate(encoder):
      x, stride = max_pool(x, (2, 2), (2, 2)), 2 * stride
      x, residual = units(x, residual, count, factor, f'down{stage}')
    for stage, (count, factor) in enumerate(decoder):
      x, stride = _double(x), stride // 2
      x, residual = units(x, residual, count, factor, f'up{stage}')
    x = jnp.concatenate([_double(x), residual], -1)
    for i in range(3):
      x = ResidualUnit(self.features, name=f'end{i}')(x, train)
    logits = conv(
        self.num_classes, 1, bias=True, init=linear_init, name='classifier'
    )(x)
    height, width = image.shape[1:3]
    return {'logits': logits[:, :height, :width], 'aux': {}}


def _double(x):
  """Doubles the size; every second pixel is the mean of its neighbours."""
  return upsample_aligned(x, 2, tuple(2 * side for side in x.shape[1:3]))
