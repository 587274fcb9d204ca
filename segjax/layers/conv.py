"""Convolutions with symmetric padding, and what usually follows them."""

from collections.abc import Callable
import functools

from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from segjax.layers import norm as norms
from segjax.ops import conv as ops
from segjax.ops.resize_conv import resize_conv

# He et al. 2015 with fan-out, as PyTorch's segmentation code initialises.
he_normal = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


# Flax's layer, lowered for the platform it runs on.
Conv = functools.partial(nn.Conv, conv_general_dilated=ops.conv_general_dilated)


def conv(
    features,
    kernel=3,
    *,
    stride=1,
    dilation=1,
    groups=1,
    padding=None,
    bias=False,
    init=he_normal,
    name,
):
  """Square convolution; None pads so that stride 1 keeps the size."""
  if padding is None:
    padding = dilation * (kernel - 1) // 2
  return Conv(
      features,
      (kernel, kernel),
      strides=stride,
      padding=padding,
      kernel_dilation=dilation,
      feature_group_count=groups,
      use_bias=bias,
      kernel_init=init,
      name=name,
  )


class ConvTranspose(nn.Module):
  """Square transposed convolution: the gradient of a `conv` to its input.

  It makes of n pixels (n - 1) * stride + kernel - 2 * padding, as PyTorch's.
  The kernel is that of the `conv`, [kernel, kernel, features, C]: for
  `kernel_init`, `features` are what comes in.
  """

  features: int
  kernel: int = 2
  stride: int = 2
  padding: int = 0
  bias: bool = False
  kernel_init: Callable = he_normal

  @nn.compact
  def __call__(self, x):
    side = self.kernel
    shape = side, side, self.features, x.shape[-1]
    kernel = self.param('kernel', self.kernel_init, shape)
    x, kernel = promote_dtype(x, kernel)
    window = ops.Window(
        strides=(self.stride, self.stride), padding=((self.padding,) * 2,) * 2
    )
    size = tuple(
        (n - 1) * self.stride + side - 2 * self.padding for n in x.shape[1:3]
    )
    y = ops.transpose(x, kernel, window, size)
    if self.bias:
      bias = self.param('bias', nn.initializers.zeros, (self.features,))
      y += bias.astype(y.dtype)
    return y


class ResizeConv(nn.Module):
  """3x3 convolution of an image that is enlarged, joined to another.

  Pixels are repeated; see `ops.resize_conv`. The kernel is that of a `conv` of
  both, [3, 3, C + S, features].
  """

  features: int

  @nn.compact
  def __call__(self, x, skip, size):
    channels = x.shape[-1] + (0 if skip is None else skip.shape[-1])
    shape = 3, 3, channels, self.features
    kernel = self.param('kernel', he_normal, shape)
    x, skip, kernel = promote_dtype(x, skip, kernel)
    return resize_conv(x, skip, kernel, size)


class ConvNormAct(nn.Module):
  """Convolution, normalisation, activation.

  Padding is symmetric as in PyTorch, not XLA's 'SAME': a strided network and
  its dilated variant then see the same pixels, and checkpoints carry over.
  """

  features: int
  kernel: int = 3
  stride: int = 1
  dilation: int = 1
  groups: int = 1
  padding: int | None = None  # On each side; None keeps the size at stride 1.
  bias: bool = False
  norm: Callable[..., nn.Module] | None = norms.BatchNorm
  act: Callable | None = nn.relu
  init: Callable = he_normal

  @nn.compact
  def __call__(self, x, train):
    x = conv(
        self.features,
        self.kernel,
        stride=self.stride,
        dilation=self.dilation,
        groups=self.groups,
        padding=self.padding,
        bias=self.bias,
        init=self.init,
        name='conv',
    )(x)
    if self.norm:
      x = self.norm(train, name='norm')(x)
    return self.act(x) if self.act else x


class ResizeConvNormAct(nn.Module):
  """A `ResizeConv`, normalisation, ReLU."""

  features: int

  @nn.compact
  def __call__(self, x, skip, size, train):
    x = ResizeConv(self.features, name='conv')(x, skip, size)
    return nn.relu(norms.BatchNorm(train, name='norm')(x))


class TransposedConvNormAct(nn.Module):
  """Transposed convolution with stride 1, normalisation, ReLU."""

  features: int
  kernel: int = 3
  padding: int = 0  # As of `ConvTranspose`.
  norm: Callable[..., nn.Module] = norms.BatchNorm

  @nn.compact
  def __call__(self, x, train):
    x = ConvTranspose(
        self.features,
        self.kernel,
        stride=1,
        padding=self.padding,
        bias=True,
        name='conv',
    )(x)
    return nn.relu(self.norm(train, name='norm')(x))


class SeparableConvNormAct(nn.Module):
  """A convolution within each channel, then a 1x1 one across channels.

  Each has its own norm. Depthwise separable convolution as DeepLabv3+ uses it,
  https://arxiv.org/abs/1802.02611, section 3.1.
  """

  features: int
  kernel: int = 3
  stride: int = 1
  dilation: int = 1
  norm: Callable[..., nn.Module] = norms.BatchNorm
  depthwise_act: Callable | None = nn.relu
  act: Callable | None = nn.relu

  @nn.compact
  def __call__(self, x, train):
    x = ConvNormAct(
        x.shape[-1],
        kernel=self.kernel,
        stride=self.stride,
        dilation=self.dilation,
        groups=x.shape[-1],
        norm=self.norm,
        act=self.depthwise_act,
        name='depthwise',
    )(x, train)
    return ConvNormAct(
        self.features, kernel=1, norm=self.norm, act=self.act, name='pointwise'
    )(x, train)
