"""Large kernels and boundary refinement on maps of class scores."""

from flax import linen as nn

from segjax.layers.conv import Conv
from segjax.layers.conv import conv

# He et al. 2015 with fan-in: the outputs are few, and features many.
he_normal = nn.initializers.he_normal()


class GlobalConv(nn.Module):
  """Convolves by a large kernel that is a sum of two separable ones.

  GCN, https://arxiv.org/abs/1703.02719, figure 2B: on the left a column and
  then a row of weights, on the right a row and then a column, and the two
  summed. No activation stands between them.
  """

  features: int
  kernel: int = 7  # Length of rows and columns of weights, odd.

  @nn.compact
  def __call__(self, x):
    if self.kernel % 2 == 0:
      raise ValueError(
          f'kernel={self.kernel}: a global convolution has an odd kernel, else'
          ' scores would move by half a pixel.'
      )
    left = self._column('left1')(x)
    left = self._row('left2')(left)
    right = self._row('right1')(x)
    right = self._column('right2')(right)
    return left + right

  def _column(self, name):
    return self._line((self.kernel, 1), name)

  def _row(self, name):
    return self._line((1, self.kernel), name)

  def _line(self, kernel, name):
    return Conv(
        self.features,
        kernel,
        padding=[(side // 2, side // 2) for side in kernel],
        kernel_init=he_normal,
        name=name,
    )


class BoundaryRefinement(nn.Module):
  """Adds two 3x3 convolutions of scores to the scores.

  GCN, https://arxiv.org/abs/1703.02719, figure 2C. No norm, and no activation
  after the sum.
  """

  @nn.compact
  def __call__(self, x):
    channels = x.shape[-1]
    y = conv(channels, bias=True, init=he_normal, name='conv1')(x)
    y = conv(channels, bias=True, init=he_normal, name='conv2')(nn.relu(y))
    return x + y
