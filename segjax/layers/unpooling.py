"""A VGG whose pools tell their places, and a decoder that goes back by them."""

import functools

from flax import linen as nn

from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import TransposedConvNormAct
from segjax.layers.conv import conv
from segjax.layers.norm import caffe_batch_norm
from segjax.ops.unpool import max_pool
from segjax.ops.unpool import unpool

VGG16 = (2, 2, 3, 3, 3)


def width_of(stage, width):
  """Returns the channels of a stage of a VGG, counted from 1."""
  return width * 2 ** min(max(stage - 1, 0), 3)


class PoolingEncoder(nn.Module):
  """The convolutions of a VGG with batch norm, by the names they have there.

  Returns the last pool's values and, for each pool, the places of its values
  and the (height, width) of what it pooled.
  """

  depths: tuple[int, ...] = VGG16
  width: int = 64
  dropout: float = 0.0  # Behind pools from the third on.

  @nn.compact
  def __call__(self, x, train):
    pools = []
    for stage, depth in enumerate(self.depths, 1):
      for i in range(1, depth + 1):
        x = ConvNormAct(
            width_of(stage, self.width),
            bias=True,
            norm=caffe_batch_norm,
            name=f'conv{stage}_{i}',
        )(x, train)
      size = x.shape[1:3]
      x, place = max_pool(x)
      pools.append((place, size))
      x = _dropout(self, x, stage, train)
    return x, pools


class UnpoolingDecoder(nn.Module):
  """Mirrors a `PoolingEncoder`: unpools, and makes what that left dense.

  The last convolution of a stage goes to the channels of the next one.
  """

  num_classes: int = 0  # Of the last of all, without norm, as in SegNet.
  depths: tuple[int, ...] = VGG16
  width: int = 64
  dropout: float = 0.0  # Behind stages down to the third.
  transposed: bool = False  # The convolutions, as DeconvNet's.

  @nn.compact
  def __call__(self, x, pools, train):
    layer = functools.partial(ConvNormAct, bias=True)
    if self.transposed:
      layer = functools.partial(TransposedConvNormAct, padding=1)
    depths = list(self.depths)
    if self.num_classes:
      depths[0] -= 1
    for stage in range(len(depths), 0, -1):
      x, depth = unpool(x, *pools[stage - 1]), depths[stage - 1]
      for i in range(1, depth + 1):
        features = width_of(stage - (i == depth), self.width)
        x = layer(features, norm=caffe_batch_norm, name=f'conv{stage}_{i}')(
            x, train
        )
      x = _dropout(self, x, stage, train)
    if self.num_classes:
      x = conv(self.num_classes, bias=True, name='classifier')(x)
    return x


def _dropout(module, x, stage, train):
  """Dropout of the deep stages, in training and wherever there is a key."""
  if stage < 3:
    return x
  on = train or module.has_rng('dropout')
  dropout = nn.Dropout(module.dropout, name=f'dropout{stage}')
  return dropout(x, deterministic=not on)
