"""Attention along one axis of an image, and residual blocks of it.

Axial-DeepLab, https://arxiv.org/abs/2003.07853, section 3: each position
attends to those of its column, and then of its row. Position-sensitive: learned
vectors for the distance between two positions take part in queries, keys and
values. The order of channels is that of DeepLab2: all queries, keys and values
of all heads, one head after the other.

The blocks of this file activate what they read and not what they return, as
DeepLab2 has them: whoever reads a block's result activates it. With ReLU they
are the blocks of ResNet.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import norm as norms
from segjax.layers import remat
from segjax.layers.conv import ConvNormAct

KINDS = ('axial', 'bottleneck', 'basic')


class AxialAttention(nn.Module):
  """Lets the positions of a line attend to each other, section 3.2.

  The products of queries and keys and of both with the distance have batch
  norms, over the batch and all pairs of positions, instead of a division by the
  square root of the depth.
  """

  key_features: int  # Of all heads.
  value_features: int  # Of all heads, and of the result.
  heads: int = 8
  span: int = 255  # Distances of `span` and more share a vector.
  norm: Callable[..., nn.Module] = norms.BatchNorm

  @nn.compact
  def __call__(self, x, train):
    """Returns [B, N, L, value_features].

    Args:
      x: [B, N, L, C], N lines of L positions in each image.
      train: whether norms take their statistics from the batch.
    """
    keys, values = self.key_features, self.value_features
    if keys % self.heads or values % self.heads:
      raise ValueError(
          f'{keys} channels of keys and {values} of values do not divide into'
          f' {self.heads} heads: choose multiples of {self.heads}.'
      )
    x = nn.Dense(2 * keys + values, use_bias=False, name='qkv')(x)
    x = self.norm(train, name='qkv_norm')(x)
    query, key, value = (
        part.reshape(*part.shape[:-1], self.heads, -1)
        for part in jnp.split(x, (keys, 2 * keys), -1)
    )
    length = x.shape[2]
    to_query, to_key, to_value = (
        self._positions(f'{name}_position', part.shape[-1], length, x.dtype)
        for name, part in (('query', query), ('key', key), ('value', value))
    )
    similarity = jnp.concatenate(
        [
            jnp.einsum('bnqhd,bnkhd->bnqkh', query, key),
            jnp.einsum('bnqhd,qkd->bnqkh', query, to_query),
            jnp.einsum('bnkhd,qkd->bnqkh', key, to_key),
        ],
        -1,
    )
    similarity = self.norm(train, name='similarity_norm')(similarity)
    similarity = sum(jnp.split(similarity, 3, -1)).astype(jnp.float32)
    weights = jax.nn.softmax(similarity, 3).astype(x.dtype)
    found = jnp.concatenate(
        [
            y.reshape(*y.shape[:3], values)
            for y in (
                jnp.einsum('bnqkh,bnkhd->bnqhd', weights, value),
                jnp.einsum('bnqkh,qkd->bnqhd', weights, to_value),
            )
        ],
        -1,
    )
    found = self.norm(train, name='output_norm')(found)
    return sum(jnp.split(found, 2, -1))

  def _positions(self, name, depth, length, dtype):
    """Returns a vector for each pair of positions, [query, key, depth]."""
    table = self.param(
        name, nn.initializers.normal(depth**-0.5), (2 * self.span - 1, depth)
    )
    place = jnp.arange(length)
    farthest = self.span - 1
    distance = jnp.clip(place - place[:, None], -farthest, farthest)
    return table.astype(dtype)[distance + farthest]


class HeightAndWidth(nn.Module):
  """Applies attention along the columns of an image, then along its rows."""

  key_features: int
  value_features: int
  stride: int = 1
  # Strides by averaging squares of the result; else columns are thinned out
  # before attention along rows.
  average: bool = False
  heads: int = 8
  span: int = 255
  norm: Callable[..., nn.Module] = norms.BatchNorm

  @nn.compact
  def __call__(self, x, train):
    """Returns [B, h, w, value_features] of x, [B, H, W, C]."""
    step = 1 if self.average else self.stride
    height, width = (
        AxialAttention(
            self.key_features,
            self.value_features,
            self.heads,
            self.span,
            self.norm,
            name=name,
        )
        for name in ('height', 'width')
    )
    x = height(x.swapaxes(1, 2), train).swapaxes(1, 2)[:, ::step]
    x = width(x, train)[:, :, ::step]
    if self.average and self.stride > 1:
      window = (self.stride, self.stride)
      # 'SAME' gives odd sides a window more, as the shortcut has it.
      mean = nn.avg_pool(x, window, window, 'SAME', count_include_pad=False)
      x = mean.astype(x.dtype)
    return x


class Block(nn.Module):
  """Adds layers of a kind to a shortcut, all of which read activated input.

  'axial' is a 1x1 convolution, attention along both axes and a 1x1 convolution;
  'bottleneck' has a 3x3 convolution in the place of attention; 'basic' is two
  3x3 convolutions. The last norm's scale starts at 0.
  """

  kind: str
  features: int  # That it returns.
  inner: int  # Between its convolutions.
  key_features: int = 0  # Of attention.
  value_features: int = 0
  stride: int = 1
  average: bool = False  # See `HeightAndWidth`.
  span: int = 255
  drop_path: float = 0.0  # Probability that an image skips the layers.
  act: Callable = nn.relu
  norm: Callable[..., nn.Module] = norms.BatchNorm

  @remat.block
  def __call__(self, x, train):
    return self.of_activated(self.act(x), train)

  @nn.compact
  def of_activated(self, x, train):
    """Returns the result for x that is activated already."""
    if self.kind not in KINDS:
      raise ValueError(
          f'There is no block {self.kind!r}. Known: {", ".join(KINDS)}.'
      )
    is_basic = self.kind == 'basic'
    y = ConvNormAct(
        self.inner,
        kernel=3 if is_basic else 1,
        stride=self.stride if is_basic else 1,
        norm=self.norm,
        act=self.act,
        name='conv1',
    )(x, train)
    if self.kind == 'bottleneck':
      y = ConvNormAct(
          self.inner,
          stride=self.stride,
          norm=self.norm,
          act=self.act,
          name='conv2',
      )(y, train)
    elif self.kind == 'axial':
      y = HeightAndWidth(
          self.key_features,
          self.value_features,
          self.stride,
          self.average,
          span=self.span,
          norm=self.norm,
          name='attention',
      )(y, train)
      y = self.act(y)
    y = ConvNormAct(
        self.features,
        kernel=3 if is_basic else 1,
        norm=zero_norm(self.norm),
        act=None,
        name='conv2' if is_basic else 'conv3',
    )(y, train)
    skip = nn.Dropout(self.drop_path, broadcast_dims=(1, 2, 3), name='skip')
    y = skip(y, deterministic=not train)
    if self.stride > 1 or x.shape[-1] != self.features:
      x = ConvNormAct(
          self.features,
          kernel=1,
          stride=self.stride,
          norm=self.norm,
          act=None,
          name='shortcut',
      )(x, train)
    return x + y


def zero_norm(norm: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
  """Returns a norm whose scale starts at 0, so that nothing is added at first.

  Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 5.1.
  """

  def build(train, name=None):
    return norm(train, scale_init=nn.initializers.zeros, name=name)

  return build
