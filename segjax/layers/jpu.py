"""Joint pyramid upsampling of FastFCN."""

from collections.abc import Sequence

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct
from segjax.ops.resize import resize


class JPU(nn.Module):
  """Approximates dense features from levels of a strided backbone.

  FastFCN, https://arxiv.org/abs/1903.11816, figure 4: each level is convolved
  to `features` channels and enlarged to the size of the finest; separable
  convolutions with several dilations look at their concatenation side by side.
  """

  features: int = 512
  dilations: tuple[int, ...] = (1, 2, 4, 8)
  align_corners: bool = False

  @nn.compact
  def __call__(self, levels: Sequence[jax.Array], train: bool) -> jax.Array:
    """Returns [B, H, W, len(dilations) * features].

    Args:
      levels: features from finest to coarsest; the first are [B, H, W, C].
      train: whether norms take their statistics from the batch.
    """
    size = levels[0].shape[1:3]
    joined = []
    for i, x in enumerate(levels):
      x = ConvNormAct(self.features, name=f'level{i}')(x, train)
      joined.append(resize(x, size, align_corners=self.align_corners))
    x = jnp.concatenate(joined, -1)
    branches = [
        SeparableConvNormAct(
            self.features,
            dilation=dilation,
            depthwise_act=None,
            name=f'dilated{i}',
        )(x, train)
        for i, dilation in enumerate(self.dilations)
    ]
    return jnp.concatenate(branches, -1)
