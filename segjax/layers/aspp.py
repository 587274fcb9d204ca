"""Atrous spatial pyramid pooling."""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers.conv import ConvNormAct


class ASPP(nn.Module):
  """Looks at features at several rates and at the whole image.

  DeepLabv3, https://arxiv.org/abs/1706.05587, figure 5: a 1x1 convolution,
  one 3x3 convolution a rate and the image's mean, concatenated in this order
  (torchvision's) and projected.
  """

  features: int = 256
  rates: tuple[int, ...] = (6, 12, 18)

  @nn.compact
  def __call__(self, x, train):
    branches = [ConvNormAct(self.features, kernel=1, name='point')(x, train)]
    for i, rate in enumerate(self.rates, 1):
      conv = ConvNormAct(self.features, dilation=rate, name=f'atrous{i}')
      branches.append(conv(x, train))
    mean = x.mean((1, 2), keepdims=True)
    mean = ConvNormAct(self.features, kernel=1, name='image')(mean, train)
    branches.append(jnp.broadcast_to(mean, branches[0].shape))
    x = jnp.concatenate(branches, -1)
    return ConvNormAct(self.features, kernel=1, name='project')(x, train)
