"""OCNet, https://arxiv.org/abs/1809.00916.

Object context: each pixel gathers features from pixels that look like its own
class, by self-attention. Three heads: 'base' has one attention over the map;
'pyramid' joins four, within the cells of grids of 1x1 to 6x6; 'asp' is an ASPP
with attention in place of the image's mean. As the authors' code builds it
(PkuRainBow/OCNet.pytorch), and checked against it with each head; 'asp' has
`dropout=0.1` there. All norms are activated batch norms,
https://arxiv.org/abs/1712.02616, those of the backbone without an activation.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.attention import Attention
from segjax.layers.conv import ActivatedConv
from segjax.layers.conv import conv
from segjax.layers.head import FCNHead
from segjax.layers.head import auxiliary
from segjax.layers.head import classifier
from segjax.ops.pool import max_pool
from segjax.ops.resize import resize

HEADS = 'base', 'pyramid', 'asp'
# Convolutions of the authors have a bias in front of a norm, but for the
# branches of 'asp' without attention.
BiasedConv = functools.partial(ActivatedConv, bias=True)
# In 'pyramid' two norms are followed by no activation.
LinearConv = functools.partial(BiasedConv, act=None)


class ObjectContext(nn.Module):
  """Gathers values from positions of similar features, and projects them.

  Queries and keys are one projection. The projection of what is gathered begins
  as zeros.
  """

  key_features: int
  value_features: int
  cells: int = 1  # See `Attention`.

  @nn.compact
  def __call__(self, x, train):
    y = Attention(
        self.key_features,
        self.value_features,
        shared=True,
        cells=self.cells,
        conv=BiasedConv,
        name='attention',
    )(x, x, train)
    return conv(
        x.shape[-1], 1, bias=True, init=nn.initializers.zeros, name='project'
    )(y)


class Base(nn.Module):
  """Joins features with their object context."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    x = BiasedConv(self.features, name='reduce')(x, train)
    half = self.features // 2
    y = ObjectContext(half, half, name='context')(x, train)
    x = jnp.concatenate([y, x], -1)
    return BiasedConv(self.features, kernel=1, name='fuse')(x, train)


class Pyramid(nn.Module):
  """Joins features with object contexts within cells of several sizes.

  A 1x1 convolution gives the features as many channels as all contexts have.
  """

  features: int
  cells: tuple[int, ...]

  @nn.compact
  def __call__(self, x, train):
    x = LinearConv(self.features, name='reduce')(x, train)
    wide = self.features * len(self.cells)
    joined = [BiasedConv(wide, kernel=1, name='expand')(x, train)]
    for i, cells in enumerate(self.cells):
      context = ObjectContext(
          self.features // 2, self.features, cells, name=f'context{i}'
      )
      joined.append(context(x, train))
    x = jnp.concatenate(joined, -1)
    return BiasedConv(self.features, kernel=1, name='fuse')(x, train)


class AtrousPyramid(nn.Module):
  """Looks at features at several rates, and at their object context.

  The context is computed at half of the resolution, after 2x2 max pooling.
  """

  features: int
  rates: tuple[int, ...]

  @nn.compact
  def __call__(self, x, train):
    x = BiasedConv(self.features, name='reduce')(x, train)
    half = self.features // 2
    y = BiasedConv(half, name='context_conv')(x, train)
    window = tuple(min(2, side) for side in y.shape[1:3])
    y = max_pool(y, window, window)
    y = ObjectContext(half // 2, half, name='context')(y, train)
    y = resize(y, x.shape[1:3], align_corners=True)
    branches = [
        BiasedConv(half, kernel=1, name='context_fuse')(y, train),
        ActivatedConv(half, kernel=1, name='point')(x, train),
    ]
    for i, rate in enumerate(self.rates, 1):
      atrous = ActivatedConv(half, dilation=rate, name=f'atrous{i}')
      branches.append(atrous(x, train))
    x = jnp.concatenate(branches, -1)
    return ActivatedConv(self.features, kernel=1, name='fuse')(x, train)


class Model(nn.Module):
  """Dilated backbone, object context of one of three kinds, upsampling."""

  num_classes: int
  backbone: str = (
      'resnet/101_v1s(output_stride=8, dilate_first=True, ceil_pool=True,'
      ' absolute_scale=True)'
  )
  head: str = 'base'  # One of HEADS.
  features: int = 512
  cells: tuple[int, ...] = (1, 2, 3, 6)  # Rows and columns of grids, 'pyramid'.
  rates: tuple[int, ...] = (12, 24, 36)  # Dilations of 'asp'.
  align_corners: bool = True
  dropout: float = 0.05  # Of whole channels.
  aux_level: str = 'c4'  # Level of the auxiliary head; '' omits it.
  aux_features: int = 512  # Channels in that head; 0: a quarter of the level's.

  @nn.compact
  def __call__(self, image, *, train=False):
    if self.head == 'base':
      head = Base(self.features, name='head')
    elif self.head == 'pyramid':
      head = Pyramid(self.features, self.cells, name='head')
    elif self.head == 'asp':
      head = AtrousPyramid(self.features, self.rates, name='head')
    else:
      raise ValueError(
          f'head={self.head!r}: OCNet has one of {", ".join(HEADS)}.'
      )
    feats = backbones.build(
        self.backbone, ('c5', self.aux_level), name='backbone'
    )(image, train)
    x = head(feats['c5'], train)
    x = nn.Dropout(self.dropout, (1, 2))(x, deterministic=not train)
    logits = classifier(self.num_classes)(x)
    size, align = image.shape[1:3], self.align_corners
    aux = FCNHead(
        self.num_classes,
        self.dropout,
        self.aux_features,
        conv=LinearConv if self.head == 'pyramid' else BiasedConv,
        dropout_dims=(1, 2),
        name='aux',
    )
    return {
        'logits': resize(logits, size, align_corners=align),
        'aux': auxiliary(
            aux, feats, self.aux_level, size, train, align_corners=align
        ),
    }
