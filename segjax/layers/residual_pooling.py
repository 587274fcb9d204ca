"""Residual units and chained pooling of RefineNet's decoders, without norms."""

from flax import linen as nn

from segjax.layers.conv import conv
from segjax.ops.pool import max_pool

# PyTorch's default, which the networks' code leaves: without norms, residuals
# have to start small.
small_uniform = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


class ResidualConvUnits(nn.Module):
  """Adds to features, `depth` times, two 3x3 convolutions behind ReLUs.

  RefineNet, https://arxiv.org/abs/1611.06612, figure 3b: what is added to are
  the features before the ReLU. The first convolution of two has a bias.
  """

  depth: int = 2

  @nn.compact
  def __call__(self, x):
    features = x.shape[-1]
    for i in range(1, self.depth + 1):
      y = conv(features, bias=True, init=small_uniform, name=f'unit{i}_conv1')(
          nn.relu(x)
      )
      y = conv(features, init=small_uniform, name=f'unit{i}_conv2')(nn.relu(y))
      x += y
    return x


class ChainedResidualPooling(nn.Module):
  """Adds to features what a chain of pools and convolutions makes of them.

  RefineNet, https://arxiv.org/abs/1611.06612, figure 3d: each member of the
  chain pools over 5x5 pixels and convolves, and its result is both added and
  handed on to the next. The activation in front is left to the caller.
  """

  kernel: int = 3  # Of the convolutions.
  depth: int = 4

  @nn.compact
  def __call__(self, x):
    link = x
    for i in range(1, self.depth + 1):
      link = max_pool(link, (5, 5), (1, 1), ((2, 2), (2, 2)))
      link = conv(
          x.shape[-1], self.kernel, init=small_uniform, name=f'conv{i}'
      )(link)
      x += link
    return x
