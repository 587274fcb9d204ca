"""Convolution layers with symmetric padding, norm and activation."""

from collections.abc import Callable
import functools
from typing import Any

from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from segjax.layers import norm as norms
from segjax.ops import conv as ops
from segjax.ops.resize_conv import resize_conv

# He et al. 2015 with fan-out, the initialiser of PyTorch's segmentation code.
he_normal = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
# With fan-in, the paper's first choice.
he_fan_in = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')
# What PyTorch's layers begin with if the code of a network sets nothing.
torch_default = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


# Flax's layer with the convolution of `ops.conv`, which has an implementation
# for each platform.
Conv = functools.partial(nn.Conv, conv_general_dilated=ops.conv_general_dilated)


def conv(
    features: int,
    kernel: int | tuple[int, int] = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    padding: int | str | None = None,
    bias: bool = False,
    init: Callable[..., Any] = he_normal,
    name: str,
) -> nn.Module:
  """Returns a convolution layer.

  Args:
    features: number of output channels.
    kernel: (rows, columns) of the kernel, or the side of a square one.
    stride: step between output pixels, in input pixels.
    dilation: step between kernel weights, in input pixels.
    groups: number of groups of channels that are convolved separately.
    padding: zeros on each side; None keeps the size at stride 1. 'SAME' is
      TensorFlow's, with more zeros at the end than at the start.
    bias: whether a bias is added.
    init: initialiser of the kernel.
    name: name of the layer's parameters in its parent.
  """
  rows, columns = kernel if isinstance(kernel, tuple) else (kernel, kernel)
  if padding is None:
    padding = [(dilation * (side - 1) // 2,) * 2 for side in (rows, columns)]
  return Conv(
      features,
      (rows, columns),
      strides=stride,
      padding=padding,
      kernel_dilation=dilation,
      feature_group_count=groups,
      use_bias=bias,
      kernel_init=init,
      name=name,
  )


class ConvTranspose(nn.Module):
  """Applies a transposed convolution with a square kernel.

  It computes the gradient of a `conv` with respect to that layer's input. A
  side of n pixels becomes (n - 1) * stride + kernel - 2 * padding +
  output_padding pixels, as in PyTorch. The kernel has the shape of that
  `conv`'s, [kernel, kernel, features, C], so `kernel_init` takes `features` for
  the number of input channels.
  """

  features: int
  kernel: int = 2
  stride: int = 2
  # Pixels cut off on each side of the output, or (in front, behind). TensorFlow
  # has (0, 1) where a kernel of 3 doubles the size.
  padding: int | tuple[int, int] = 0
  output_padding: int = 0  # Pixels added below and at the right.
  bias: bool = False
  kernel_init: Callable = he_normal

  @nn.compact
  def __call__(self, x):
    side = self.kernel
    shape = side, side, self.features, x.shape[-1]
    kernel = self.param('kernel', self.kernel_init, shape)
    x, kernel = promote_dtype(x, kernel)
    cut = self.padding
    cut = cut if isinstance(cut, tuple) else (cut, cut)
    window = ops.Window(strides=(self.stride, self.stride), padding=(cut, cut))
    more = side - sum(cut) + self.output_padding
    size = tuple((n - 1) * self.stride + more for n in x.shape[1:3])
    y = ops.transpose(x, kernel, window, size)
    if self.bias:
      bias = self.param('bias', nn.initializers.zeros, (self.features,))
      y += bias.astype(y.dtype)
    return y


class ResizeConv(nn.Module):
  """Enlarges features, appends skip features and applies a 3x3 convolution.

  Features are enlarged by repeating pixels, and the three steps are computed as
  one; see `ops.resize_conv`. The kernel has the shape of a `conv` over the
  concatenation, [3, 3, C + S, features].
  """

  features: int
  bias: bool = False

  @nn.compact
  def __call__(self, x, skip, size):
    """Returns [B, height, width, features].

    Args:
      x: features to enlarge, [B, h, w, C].
      skip: features at the new size, [B, height, width, S], or None.
      size: the new (height, width).
    """
    channels = x.shape[-1] + (0 if skip is None else skip.shape[-1])
    shape = 3, 3, channels, self.features
    kernel = self.param('kernel', he_normal, shape)
    x, skip, kernel = promote_dtype(x, skip, kernel)
    y = resize_conv(x, skip, kernel, size)
    if self.bias:
      bias = self.param('bias', nn.initializers.zeros, (self.features,))
      y += bias.astype(y.dtype)
    return y


class ConvNormAct(nn.Module):
  """Applies a convolution, a norm and an activation.

  Padding is symmetric as in PyTorch, not XLA's 'SAME': a strided network and
  its dilated variant then see the same pixels, and PyTorch's weights fit.
  """

  features: int
  kernel: int | tuple[int, int] = 3  # See `conv`.
  stride: int = 1
  dilation: int = 1
  groups: int = 1
  padding: int | str | None = None  # See `conv`.
  bias: bool = False
  norm: Callable[..., nn.Module] | None = norms.BatchNorm
  act: Callable | None = nn.relu
  init: Callable = he_normal
  layer: Callable[..., nn.Module] = conv  # Any with the arguments of `conv`.

  @nn.compact
  def __call__(self, x, train):
    x = self.layer(
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


# What surrounds a convolution in networks with activated batch norms, see
# `layers.norm`; the slope of the leaky ReLU is 0.01.
ActivatedConv = functools.partial(
    ConvNormAct, norm=norms.activated_batch_norm, act=nn.leaky_relu
)


class NormActConv(nn.Module):
  """Applies a norm, ReLU and a convolution, in this order."""

  features: int
  kernel: int = 3
  groups: int = 1

  @nn.compact
  def __call__(self, x, train):
    x = nn.relu(norms.BatchNorm(train, name='norm')(x))
    return conv(self.features, self.kernel, groups=self.groups, name='conv')(x)


class NormActConvNormAct(nn.Module):
  """Applies a convolution with a norm and ReLU before it, and after it."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    x = nn.relu(norms.BatchNorm(train, name='input_norm')(x))
    return ConvNormAct(self.features, name='conv')(x, train)


class ResizeConvNormAct(nn.Module):
  """Applies a `ResizeConv`, batch norm and ReLU."""

  features: int
  bias: bool = False

  @nn.compact
  def __call__(self, x, skip, size, train):
    x = ResizeConv(self.features, self.bias, name='conv')(x, skip, size)
    return nn.relu(norms.BatchNorm(train, name='norm')(x))


class TransposedConvNormAct(nn.Module):
  """Applies a transposed convolution of stride 1, a norm and an activation.

  Those that enlarge are `layers.upsample.UpsampleNormAct`.
  """

  features: int
  kernel: int = 3
  padding: int = 0  # See `ConvTranspose`.
  bias: bool = True
  norm: Callable[..., nn.Module] = norms.BatchNorm

  @nn.compact
  def __call__(self, x, train):
    x = ConvTranspose(
        self.features,
        self.kernel,
        stride=1,
        padding=self.padding,
        bias=self.bias,
        name='conv',
    )(x)
    return nn.relu(self.norm(train, name='norm')(x))


class SeparableConvNormAct(nn.Module):
  """Applies a depthwise separable convolution with norms and activations.

  A convolution within each channel is followed by a 1x1 convolution across
  channels, and each of the two has its own norm, as in DeepLabv3+,
  https://arxiv.org/abs/1802.02611, section 3.1.
  """

  features: int
  kernel: int = 3
  stride: int = 1
  dilation: int = 1
  bias: bool = False
  norm: Callable[..., nn.Module] = norms.BatchNorm
  depthwise_act: Callable | None = nn.relu
  act: Callable | None = nn.relu
  # Whether the first of the two has a norm and an activation of its own.
  between: bool = True

  @nn.compact
  def __call__(self, x, train):
    x = ConvNormAct(
        x.shape[-1],
        kernel=self.kernel,
        stride=self.stride,
        dilation=self.dilation,
        groups=x.shape[-1],
        bias=self.bias,
        norm=self.norm if self.between else None,
        act=self.depthwise_act if self.between else None,
        name='depthwise',
    )(x, train)
    return ConvNormAct(
        self.features,
        kernel=1,
        bias=self.bias,
        norm=self.norm,
        act=self.act,
        name='pointwise',
    )(x, train)
