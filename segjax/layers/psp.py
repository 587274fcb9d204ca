"""Pyramid pooling of PSPNet."""

from collections.abc import Callable

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct
from segjax.ops.pool import adaptive_avg_pool
from segjax.ops.resize import resize


class PyramidPooling(nn.Module):
  """Appends means over grids of several sizes to features.

  PSPNet, https://arxiv.org/abs/1612.01105, figure 3: each grid of means is
  projected to `features` channels by a 1x1 convolution, enlarged to the size of
  the features, and concatenated with them.
  """

  features: int = 512  # 0: as many as there are.
  bins: tuple[int, ...] = (1, 2, 3, 6)  # Rows and columns of the grids.
  align_corners: bool = False
  # Whether a grid is enlarged before it is projected, as in UPerNet's code: its
  # norm then takes statistics over all pixels.
  enlarge_first: bool = False
  norm: Callable[..., nn.Module] | None = norms.BatchNorm
  act: Callable | None = nn.relu
  # Whether the projection of the grid of one cell has a bias in the place of a
  # norm, whose statistics would be of as few numbers as a batch has images.
  plain_mean: bool = False
  features_last: bool = False  # Whether the features come after the grids.

  @nn.compact
  def __call__(self, x, train):
    levels, features = [], self.features or x.shape[-1]
    for i, rows in enumerate(self.bins):
      y = adaptive_avg_pool(x, (rows, rows))
      if self.enlarge_first:
        y = resize(y, x.shape[1:3], align_corners=self.align_corners)
      plain = self.plain_mean and rows == 1
      y = ConvNormAct(
          features,
          kernel=1,
          bias=plain,
          norm=None if plain else self.norm,
          act=self.act,
          name=f'level{i}',
      )(y, train)
      if not self.enlarge_first:
        y = resize(y, x.shape[1:3], align_corners=self.align_corners)
      levels.append(y)
    levels.insert(len(levels) if self.features_last else 0, x)
    return jnp.concatenate(levels, -1)
