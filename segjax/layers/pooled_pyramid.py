"""Pyramids of pooled features of DDRNet and PIDNet."""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers.conv import NormActConv
from segjax.ops.pool import avg_pool_around
from segjax.ops.resize import resize

# Sides and strides of the windows; after them comes the mean of the image.
WINDOWS = ((5, 2), (9, 4), (17, 8))


class PooledPyramid(nn.Module):
  """Joins features with means over larger and larger windows.

  As DAPPM, https://arxiv.org/abs/2101.06085, a scale passes through a 3x3
  convolution with the result of the scale before added to it. As PAPPM,
  https://arxiv.org/abs/2206.02066, all scales have the features themselves
  added, and one convolution in groups: these run at the same time.
  """

  features: int  # Channels of a scale.
  out_features: int
  parallel: bool = False  # PAPPM, else DAPPM.

  @nn.compact
  def __call__(self, x, train):
    size = x.shape[1:3]
    pooled = [avg_pool_around(x, *window) for window in WINDOWS]
    pooled.append(x.mean((1, 2), keepdims=True))
    scales = [NormActConv(self.features, 1, name='scale0')(x, train)]
    for i, y in enumerate(pooled, 1):
      y = NormActConv(self.features, 1, name=f'scale{i}')(y, train)
      y = resize(y, size)
      if self.parallel:
        y += scales[0]
      else:
        y += scales[-1]
        y = NormActConv(self.features, name=f'process{i}')(y, train)
      scales.append(y)
    y = jnp.concatenate(scales[1:], -1)
    if self.parallel:
      y = NormActConv(y.shape[-1], groups=len(pooled), name='process')(y, train)
    y = jnp.concatenate([scales[0], y], -1)
    y = NormActConv(self.out_features, 1, name='fuse')(y, train)
    return y + NormActConv(self.out_features, 1, name='shortcut')(x, train)
