"""PReLU, and the layers of light networks that end with it."""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers.conv import conv
from segjax.layers.norm import BatchNorm


class PReLU(nn.Module):
  """Multiplies negative values by a trained slope for each channel.

  He et al. 2015, https://arxiv.org/abs/1502.01852, section 2.1.
  """

  init: float = 0.25  # Slope at the start; with 0 it starts as ReLU.

  @nn.compact
  def __call__(self, x):
    slope = self.param(
        'slope', nn.initializers.constant(self.init), x.shape[-1:]
    )
    return jnp.where(x < 0, slope.astype(x.dtype) * x, x)


class NormPReLU(nn.Module):
  """Applies batch norm and PReLU."""

  epsilon: float = 1e-5
  init: float = 0.25  # See `PReLU`.

  @nn.compact
  def __call__(self, x, train):
    x = BatchNorm(train, epsilon=self.epsilon, name='norm')(x)
    return PReLU(self.init, name='act')(x)


class ConvNormPReLU(nn.Module):
  """Applies a convolution without bias, batch norm and PReLU."""

  features: int
  kernel: int = 3
  stride: int = 1
  epsilon: float = 1e-5  # Of the norm.
  init: float = 0.25  # See `PReLU`.

  @nn.compact
  def __call__(self, x, train):
    x = conv(self.features, self.kernel, stride=self.stride, name='conv')(x)
    x = BatchNorm(train, epsilon=self.epsilon, name='norm')(x)
    return PReLU(self.init, name='act')(x)
