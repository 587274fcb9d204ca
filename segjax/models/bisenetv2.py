"""BiSeNetV2, https://arxiv.org/abs/2004.02147.

A wide and shallow branch for details and a thin and deep one for semantics,
each of which gates the other (bilateral guided aggregation, figure 6). In
training, booster heads on the semantic branch add losses. As mmsegmentation
1.2.2 builds it, with its widths of the heads; checked against it.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import auxiliary_heads
from segjax.layers.head import segmentation_outputs
from segjax.ops.pool import avg_pool
from segjax.ops.pool import max_pool
from segjax.ops.resize import resize

WINDOW = dict(window=(3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


class DetailBranch(nn.Module):
  """Applies three stages of 3x3 convolutions; the first of each strides."""

  widths: tuple[int, int, int]

  @nn.compact
  def __call__(self, x, train):
    for i, (width, depth) in enumerate(
        zip(self.widths, (2, 3, 3), strict=True), 1
    ):
      for j in range(depth):
        stride = 2 if j == 0 else 1
        x = ConvNormAct(width, stride=stride, name=f'stage{i}_{j}')(x, train)
    return x


class Stem(nn.Module):
  """Reduces by 4 with a convolution, then pooling beside convolutions."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    x = ConvNormAct(self.features, stride=2, name='conv')(x, train)
    y = ConvNormAct(self.features // 2, kernel=1, name='reduce')(x, train)
    y = ConvNormAct(self.features, stride=2, name='strided')(y, train)
    x = jnp.concatenate([y, max_pool(x, **WINDOW)], -1)
    return ConvNormAct(self.features, name='fuse')(x, train)


class GatherExpansion(nn.Module):
  """Widens features by a depthwise convolution, and narrows and adds them.

  Figure 5, b and c. With stride 2 a second depthwise convolution follows, and
  the shortcut has a separable convolution.
  """

  features: int
  stride: int
  expansion: int

  @nn.compact
  def __call__(self, x, train):
    channels = x.shape[-1]
    wide = self.expansion * channels
    linear = functools.partial(ConvNormAct, act=None)
    y = ConvNormAct(channels, name='gather')(x, train)
    if self.stride > 1:
      y = linear(wide, stride=self.stride, groups=channels, name='expand')(
          y, train
      )
      y = ConvNormAct(wide, groups=wide, name='depthwise')(y, train)
      x = linear(
          channels,
          stride=self.stride,
          groups=channels,
          name='shortcut_depthwise',
      )(x, train)
      x = linear(self.features, kernel=1, name='shortcut_pointwise')(x, train)
    else:
      y = ConvNormAct(wide, groups=channels, name='expand')(y, train)
    return nn.relu(
        x + linear(self.features, kernel=1, name='project')(y, train)
    )


class ContextEmbedding(nn.Module):
  """Adds a projection of the means over the image; figure 4b."""

  @nn.compact
  def __call__(self, x, train):
    features = x.shape[-1]
    mean = x.mean((1, 2), keepdims=True)
    mean = norms.BatchNorm(train, name='norm')(mean)
    mean = ConvNormAct(features, kernel=1, name='project')(mean, train)
    return ConvNormAct(features, name='conv')(x + mean, train)


class Aggregation(nn.Module):
  """Gates details by semantics at stride 8, and the reverse at stride 32."""

  features: int

  @nn.compact
  def __call__(self, detail, semantic, train):
    linear = functools.partial(ConvNormAct, act=None)

    def separable(x, name):
      x = linear(x.shape[-1], groups=x.shape[-1], name=f'{name}_depthwise')(
          x, train
      )
      return conv(self.features, 1, bias=True, name=f'{name}_pointwise')(x)

    fine = separable(detail, 'detail')
    coarse = linear(self.features, stride=2, name='detail_strided')(
        detail, train
    )
    coarse = avg_pool(coarse, **WINDOW)
    gate = linear(self.features, name='semantic')(semantic, train)
    fine *= nn.sigmoid(resize(gate, fine.shape[1:3]))
    coarse *= nn.sigmoid(separable(semantic, 'semantic'))
    x = fine + resize(coarse, fine.shape[1:3])
    return ConvNormAct(self.features, name='fuse')(x, train)


class Model(nn.Module):
  """Detail and semantic branches, their aggregation, booster heads."""

  num_classes: int
  detail: tuple[int, int, int] = (64, 64, 128)  # Channels of the stages.
  semantic: tuple[int, int, int, int] = (16, 32, 64, 128)
  expansion: int = 6
  head_features: int = 1024
  # Channels of the booster heads on the stages of the semantic branch, each
  # with two convolutions; 0: there is none on that stage.
  boosters: tuple[int, int, int, int] = (16, 64, 256, 1024)
  dropout: float = 0.1

  @nn.compact
  def __call__(self, image, *, train=False):
    size = image.shape[1:3]
    detail = DetailBranch(self.detail, name='detail')(image, train)
    x = Stem(self.semantic[0], name='stem')(image, train)
    stages = {'stage1': x}
    for i, (width, depth) in enumerate(
        zip(self.semantic[1:], (2, 2, 4), strict=True), 2
    ):
      for j in range(depth):
        x = GatherExpansion(
            width, 2 if j == 0 else 1, self.expansion, name=f'stage{i}_{j}'
        )(x, train)
      stages[f'stage{i}'] = x
    x = ContextEmbedding(name='context')(x, train)
    x = Aggregation(self.detail[-1], name='aggregation')(detail, x, train)
    x = ConvNormAct(self.head_features, name='conv')(x, train)
    outputs = segmentation_outputs(
        x, self.num_classes, size, train, dropout=self.dropout
    )
    outputs['aux'] = auxiliary_heads(
        stages,
        dict(zip(stages, self.boosters, strict=True)),
        self.num_classes,
        size,
        train,
        dropout=self.dropout,
        depth=2,
    )
    return outputs
