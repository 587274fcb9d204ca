"""Pyramid pooling."""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers.conv import ConvNormAct
from segjax.ops.pool import adaptive_avg_pool
from segjax.ops.resize import resize


class PyramidPooling(nn.Module):
  """Joins features with their means over grids of several sizes.

  PSPNet, https://arxiv.org/abs/1612.01105, figure 3: each grid of means is
  projected by a 1x1 convolution, enlarged and appended to the features.
  """

  features: int = 512
  bins: tuple[int, ...] = (1, 2, 3, 6)  # Rows and columns of the grids.
  align_corners: bool = False

  @nn.compact
  def __call__(self, x, train):
    joined = [x]
    for i, rows in enumerate(self.bins):
      y = adaptive_avg_pool(x, (rows, rows))
      y = ConvNormAct(self.features, kernel=1, name=f'level{i}')(y, train)
      y = resize(y, x.shape[1:3], align_corners=self.align_corners)
      joined.append(y)
    return jnp.concatenate(joined, -1)
