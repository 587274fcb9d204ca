"""ENet, https://arxiv.org/abs/1606.02147.

Early downsampling, thin bottlenecks with dilated and factorised convolutions,
and a small decoder that unpools to the positions of the encoder's maxima. As
yassouali/pytorch-segmentation builds it, against which it was checked: PReLUs
have one slope each, and there is one more before the dropout. Sides that are
no multiples of 8 work too, while the original needs multiples.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import conv
from segjax.layers.norm import BatchNorm
from segjax.layers.prelu import PReLU
from segjax.layers.upsample import upsample
from segjax.ops.unpool import max_pool
from segjax.ops.unpool import unpool

double = functools.partial(upsample, kernel=3, padding=1, output_padding=1)


class Initial(nn.Module):
  """Concatenates max pooling and a strided convolution; figure 2a."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    pooled, _ = max_pool(x)
    y = conv(self.features - x.shape[-1], stride=2, bias=True, name='conv')(x)
    x = BatchNorm(train, name='norm')(jnp.concatenate([pooled, y], -1))
    return PReLU(name='act')(x)


class Bottleneck(nn.Module):
  """Adds three convolutions on a quarter of the channels; figure 2b.

  With `kind` 'down' the first convolution halves the size and the shortcut is
  max pooling with zeros for the missing channels; with 'up' the second one is
  transposed, and the shortcut unpools a projection.
  """

  features: int
  kind: str = 'same'  # Or 'down' or 'up'.
  dilation: int = 1  # 0: the 3x3 convolution becomes a 1x5 and a 5x1 one.
  dropout: float = 0.0  # Rate for whole channels.
  relu: bool = False  # ReLU instead of PReLU, as the decoder has.
  size: tuple[int, int] = (0, 0)  # (height, width) of the result of 'up'.
  upsampling: str = 'transposed'  # Of 'up', see `Model`.

  @remat.block
  @nn.compact
  def __call__(self, x, train, positions=None):
    """Returns features, and for 'down' the positions of the maxima, too.

    Args:
      x: [B, H, W, C].
      train: whether dropout is on, and norms take statistics from the batch.
      positions: for 'up', those that the block 'down' returned.
    """
    width = x.shape[-1] // 4

    def norm_act(y, name):
      y = BatchNorm(train, name=f'norm{name}')(y)
      return self._act(y, f'act{name}')

    y = x
    if self.kind == 'down':
      # As pooling, which rounds up.
      missing = [(0, side % 2) for side in x.shape[1:3]]
      y = jnp.pad(x, ((0, 0), *missing, (0, 0)))
      y = conv(width, 2, stride=2, padding=0, name='conv1')(y)
    else:
      y = conv(width, 1, name='conv1')(y)
    y = norm_act(y, '1')
    if self.kind == 'up':
      y = double(self.upsampling, width, name='conv2')(y)
    elif self.dilation:
      y = conv(width, dilation=self.dilation, name='conv2')(y)
    else:
      y = norm_act(conv(width, (1, 5), bias=True, name='row')(y), '_row')
      y = conv(width, (5, 1), bias=True, name='column')(y)
    y = norm_act(y, '2')
    y = norm_act(conv(self.features, 1, name='conv3')(y), '3')
    y = nn.Dropout(self.dropout, broadcast_dims=(1, 2))(
        y, deterministic=not train
    )
    if self.kind == 'down':
      pooled, positions = max_pool(x)
      missing = self.features - x.shape[-1]
      x = jnp.pad(pooled, ((0, 0), (0, 0), (0, 0), (0, missing)))
    elif self.kind == 'up':
      x = conv(self.features, 1, name='shortcut')(x)
      x = BatchNorm(train, name='norm_shortcut')(x)
      x = unpool(x, positions, self.size)
      y = y[:, : x.shape[1], : x.shape[2]]
    x = self._act(x + y, 'act')
    return (x, positions) if self.kind == 'down' else x

  def _act(self, x, name):
    return nn.relu(x) if self.relu else PReLU(shared=True, name=name)(x)


class Model(nn.Module):
  """Encoder to stride 8, and a decoder that unpools; table 1."""

  num_classes: int
  widths: tuple[int, int, int] = (16, 64, 128)  # Channels at stride 2, 4, 8.
  depth: int = 4  # Blocks at stride 4.
  # Of the blocks of a stage at stride 8; see `Bottleneck`.
  dilations: tuple[int, ...] = (1, 2, 0, 4, 1, 8, 0, 16)
  stages: int = 2  # Number of these stages.
  dropouts: tuple[float, float] = (0.01, 0.1)  # At stride 4, and after it.
  upsampling: str = 'transposed'  # Of the decoder, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    first, second, third = self.widths
    early, late = self.dropouts
    x = Initial(first, name='initial')(image, train)
    outer_size = x.shape[1:3]
    x, outer = Bottleneck(second, 'down', dropout=early, name='down1')(x, train)
    for i in range(self.depth):
      x = Bottleneck(second, dropout=early, name=f'stage1_{i}')(x, train)
    inner_size = x.shape[1:3]
    x, inner = Bottleneck(third, 'down', dropout=late, name='down2')(x, train)
    for stage in range(self.stages):
      for i, dilation in enumerate(self.dilations):
        x = Bottleneck(
            third,
            dilation=dilation,
            dropout=late,
            name=f'stage{2 + stage}_{i}',
        )(x, train)
    block = functools.partial(
        Bottleneck, dropout=late, relu=True, upsampling=self.upsampling
    )
    x = block(second, 'up', size=inner_size, name='up1')(x, train, inner)
    for i in range(2):
      x = block(second, name=f'decoder1_{i}')(x, train)
    x = block(first, 'up', size=outer_size, name='up2')(x, train, outer)
    x = block(first, name='decoder2_0')(x, train)
    logits = double(self.upsampling, self.num_classes, name='classifier')(x)
    height, width = image.shape[1:3]
    return {'logits': logits[:, :height, :width], 'aux': {}}
