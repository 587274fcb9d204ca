"""Operations among which the search of a cell chooses, Auto-DeepLab's."""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import norm as norms
from segjax.layers.conv import conv
from segjax.layers.conv import he_fan_in
from segjax.ops import pool

# Names of operations: 'sep' are separable convolutions, 'dil' dilated separable
# ones, 'atrous' dilated ones across channels.
SEARCHED = (
    *('none', 'max3', 'avg3', 'skip'),
    *('sep3', 'sep5', 'dil3', 'dil5'),
)
KNOWN = (*SEARCHED, 'atrous3', 'atrous5')


class SeparableConvs(nn.Module):
  """Applies ReLU, a separable convolution and a norm, twice."""

  kernel: int
  stride: int = 1
  padding: int | str | None = None  # See `conv`; or 'SAME', TensorFlow's.
  norm: Callable[..., nn.Module] = norms.BatchNorm

  @nn.compact
  def __call__(self, x, train):
    features = x.shape[-1]
    for i, stride in ((1, self.stride), (2, 1)):
      x = conv(
          features,
          self.kernel,
          stride=stride,
          groups=features,
          padding=self.padding,
          init=he_fan_in,
          name=f'depthwise{i}',
      )(nn.relu(x))
      x = conv(features, 1, init=he_fan_in, name=f'pointwise{i}')(x)
      x = self.norm(train, name=f'norm{i}')(x)
    return x


class AtrousConv(nn.Module):
  """Applies ReLU, a dilated convolution and a norm."""

  kernel: int
  rate: int = 2
  separable: bool = True
  norm: Callable[..., nn.Module] = norms.BatchNorm
  # Behind the norm; there is no ReLU in front then.
  act: Callable[[jax.Array], jax.Array] | None = None

  @nn.compact
  def __call__(self, x, train):
    features = x.shape[-1]
    x = conv(
        features,
        self.kernel,
        dilation=self.rate,
        groups=features if self.separable else 1,
        init=he_fan_in,
        name='depthwise' if self.separable else 'conv',
    )(x if self.act else nn.relu(x))
    if self.separable:
      x = conv(features, 1, init=he_fan_in, name='pointwise')(x)
    x = self.norm(train, name='norm')(x)
    return self.act(x) if self.act else x


class Project(nn.Module):
  """Applies ReLU, a 1x1 convolution and a norm."""

  features: int
  stride: int = 1
  norm: Callable[..., nn.Module] = norms.BatchNorm
  act: Callable[[jax.Array], jax.Array] | None = None  # See `AtrousConv`.

  @nn.compact
  def __call__(self, x, train):
    x = x if self.act else nn.relu(x)
    x = conv(self.features, 1, stride=self.stride, init=he_fan_in, name='conv')(
        x
    )
    x = self.norm(train, name='norm')(x)
    return self.act(x) if self.act else x


def pool3(name: str, x: jax.Array, stride: int = 1) -> jax.Array:
  """Pools 3x3 pixels; those beyond the border do not count.

  Args:
    name: 'max3' or 'avg3'.
    x: [B, H, W, C].
    stride: step between windows.
  """
  window, strides, padding = (3, 3), (stride, stride), ((1, 1), (1, 1))
  if name == 'max3':
    return pool.max_pool(x, window, strides, padding)
  ones = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
  mean, share = (pool.avg_pool(y, window, strides, padding) for y in (x, ones))
  return mean / share
