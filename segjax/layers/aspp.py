"""Atrous spatial pyramid pooling."""

from collections.abc import Callable
import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import norm as norms
from segjax.layers.conv import Conv
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct


class ASPP(nn.Module):
  """Looks at features at several rates and at the whole image.

  DeepLabv3, https://arxiv.org/abs/1706.05587, figure 5: a 1x1 convolution,
  one 3x3 convolution a rate and the image's mean, concatenated in this order
  (torchvision's) and projected. TensorFlow's DeepLab and mmsegmentation begin
  with the image's mean; mmsegmentation projects by a 3x3 convolution.
  Panoptic-DeepLab has no norm behind the convolution of the image's mean.
  """

  features: int = 256
  rates: tuple[int, ...] = (6, 12, 18)
  separable: bool = False  # The 3x3 convolutions: DeepLabv3+, section 3.1.
  between: bool = True  # Of these, see `SeparableConvNormAct`.
  image_first: bool = False
  project_kernel: int = 1  # 0 returns the concatenation as it is.
  norm: Callable[..., nn.Module] = norms.BatchNorm  # But of the image's mean.
  image_norm: Callable[..., nn.Module] | None = norms.BatchNorm
  image_bias: bool = False
  act: Callable = nn.relu  # Behind each norm.

  @nn.compact
  def __call__(self, x, train):
    conv = ConvNormAct
    if self.separable:
      conv = functools.partial(
          SeparableConvNormAct, between=self.between, depthwise_act=self.act
      )
    conv = functools.partial(conv, norm=self.norm, act=self.act)
    point = ConvNormAct(
        self.features, kernel=1, norm=self.norm, act=self.act, name='point'
    )
    branches = [point(x, train)]
    for i, rate in enumerate(self.rates, 1):
      atrous = conv(self.features, dilation=rate, name=f'atrous{i}')
      branches.append(atrous(x, train))
    mean = x.mean((1, 2), keepdims=True)
    mean = ConvNormAct(
        self.features,
        kernel=1,
        bias=self.image_bias,
        norm=self.image_norm,
        act=self.act,
        name='image',
    )(mean, train)
    mean = jnp.broadcast_to(mean, branches[0].shape)
    branches.insert(0 if self.image_first else len(branches), mean)
    x = jnp.concatenate(branches, -1)
    if not self.project_kernel:
      return x
    return ConvNormAct(
        self.features,
        kernel=self.project_kernel,
        norm=self.norm,
        act=self.act,
        name='project',
    )(x, train)


class AtrousClassifiers(nn.Module):
  """Sums the scores of 3x3 convolutions with several dilations.

  DeepLabv2, https://arxiv.org/abs/1606.00915, figure 7.
  """

  num_classes: int
  rates: tuple[int, ...]

  @nn.compact
  def __call__(self, x):
    return sum(
        Conv(
            self.num_classes,
            (3, 3),
            padding=rate,
            kernel_dilation=rate,
            kernel_init=nn.initializers.normal(0.01),
            name=f'atrous{i}',
        )(x)
        for i, rate in enumerate(self.rates)
    )
