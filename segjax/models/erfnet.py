"""ERFNet, https://ieeexplore.ieee.org/document/8063438.

Residual blocks with 3x3 convolutions factorised into columns and rows (IEEE
Transactions on Intelligent Transportation Systems 19, 2018, figure 2c). As
mmsegmentation 1.2.2 builds it, against which it was checked: a head with a 3x3
convolution reads the last features, at stride 2. The authors end with a
transposed convolution to the classes at the size of the image,
`head_features=0`, for sides that are multiples of 8, and drop whole channels,
`dropouts=(0.03, 0.3), drop_channels=True`.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import norm as norms
from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import segmentation_outputs
from segjax.layers.upsample import UpsampleNormAct
from segjax.layers.upsample import upsample
from segjax.ops.pool import max_pool
from segjax.ops.resize import resize

batch_norm = functools.partial(norms.BatchNorm, epsilon=1e-3)


class Downsampler(nn.Module):
  """Concatenates a strided convolution and max pooling."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    channels = self.features - x.shape[-1]
    y = conv(channels, stride=2, bias=True, name='conv')(x)
    # Of an odd side, pooling leaves a pixel less.
    pooled = resize(max_pool(x, (2, 2), (2, 2)), y.shape[1:3])
    x = jnp.concatenate([y, pooled], -1)
    return nn.relu(batch_norm(train, name='norm')(x))


class NonBottleneck(nn.Module):
  """Adds two factorised 3x3 convolutions, of which the second dilates."""

  dilation: int = 1
  dropout: float = 0.0
  drop_channels: bool = False

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    layer = functools.partial(conv, x.shape[-1], bias=True)
    y = x
    for i, dilation in enumerate((1, self.dilation), 1):
      y = layer((3, 1), dilation=dilation, name=f'column{i}')(y)
      y = layer((1, 3), dilation=dilation, name=f'row{i}')(nn.relu(y))
      y = batch_norm(train, name=f'norm{i}')(y)
      if i == 1:
        y = nn.relu(y)
    axes = (1, 2) if self.drop_channels else ()
    y = nn.Dropout(self.dropout, broadcast_dims=axes)(
        y, deterministic=not train
    )
    return nn.relu(x + y)


class Model(nn.Module):
  """Encoder to stride 8, decoder to stride 2."""

  num_classes: int
  widths: tuple[int, int, int] = (16, 64, 128)  # Channels at stride 2, 4, 8.
  depth: int = 5  # Blocks at stride 4.
  dilations: tuple[int, ...] = (2, 4, 8, 16, 2, 4, 8, 16)  # At stride 8.
  dropouts: tuple[float, float] = (0.1, 0.1)  # Rates at stride 4 and at 8.
  drop_channels: bool = False  # Else single values are dropped.
  # Channels of the head's convolution; 0: the classes follow the decoder.
  head_features: int = 128
  dropout: float = 0.1  # Of the head.
  upsampling: str = 'transposed'  # Of the decoder, see `layers.upsample`.

  @property
  def multiple(self):
    """Multiple that sides have to be of; see segjax/models/README.md."""
    return 1 if self.head_features else 8

  @nn.compact
  def __call__(self, image, *, train=False):
    first, second, third = self.widths
    block = functools.partial(NonBottleneck, drop_channels=self.drop_channels)
    x = Downsampler(first, name='down1')(image, train)
    x = Downsampler(second, name='down2')(x, train)
    for i in range(self.depth):
      x = block(dropout=self.dropouts[0], name=f'stage2_{i}')(x, train)
    x = Downsampler(third, name='down3')(x, train)
    for i, dilation in enumerate(self.dilations):
      x = block(dilation, self.dropouts[1], name=f'stage3_{i}')(x, train)
    for stage, width in ((4, second), (5, first)):
      x = UpsampleNormAct(
          self.upsampling,
          width,
          kernel=3,
          padding=1,
          output_padding=1,
          bias=True,
          norm=batch_norm,
          name=f'up{stage}',
      )(x, train)
      for i in range(2):
        x = block(name=f'stage{stage}_{i}')(x, train)
    if not self.head_features:
      logits = upsample(
          self.upsampling, self.num_classes, bias=True, name='classifier'
      )(x)
      return {'logits': logits, 'aux': {}}
    x = ConvNormAct(self.head_features, name='conv')(x, train)
    return segmentation_outputs(
        x, self.num_classes, image.shape[1:3], train, dropout=self.dropout
    )
