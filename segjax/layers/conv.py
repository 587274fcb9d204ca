"""Convolutions with symmetric padding, and what usually follows them."""

from collections.abc import Callable

from flax import linen as nn

from segjax.layers import norm as norms

# He et al. 2015 with fan-out, as PyTorch's segmentation code initialises.
he_normal = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class ConvNormAct(nn.Module):
  """Convolution, normalisation, activation.

  Padding is symmetric as in PyTorch, not XLA's 'SAME': a strided network and
  its dilated variant then see the same pixels, and checkpoints carry over.
  """

  features: int
  kernel: int = 3
  stride: int = 1
  dilation: int = 1
  norm: Callable[..., nn.Module] = norms.batch_norm
  act: Callable | None = nn.relu

  @nn.compact
  def __call__(self, x, train):
    padding = self.dilation * (self.kernel - 1) // 2
    x = nn.Conv(
        self.features,
        (self.kernel, self.kernel),
        strides=self.stride,
        padding=padding,
        kernel_dilation=self.dilation,
        use_bias=False,
        kernel_init=he_normal,
        name='conv',
    )(x)
    x = self.norm(train, name='norm')(x)
    return self.act(x) if self.act else x
