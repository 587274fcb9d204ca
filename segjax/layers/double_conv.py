"""The two convolutions of each level of a U-Net."""

from collections.abc import Callable

from flax import linen as nn

from segjax.layers import remat
from segjax.layers.conv import ConvNormAct


class DoubleConv(nn.Module):
  """Applies two 3x3 convolutions: U-Net, https://arxiv.org/abs/1505.04597."""

  features: int
  conv: Callable[..., nn.Module] = ConvNormAct  # With norm and activation.

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    for i in (1, 2):
      x = self.conv(self.features, name=f'conv{i}')(x, train)
    return x
