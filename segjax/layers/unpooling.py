"""Encoder and decoder of SegNet: VGG with max pooling, and its unpooling."""

import functools

from flax import linen as nn

from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import TransposedConvNormAct
from segjax.layers.conv import conv
from segjax.layers.norm import caffe_batch_norm
from segjax.ops.unpool import max_pool
from segjax.ops.unpool import unpool

VGG16 = (2, 2, 3, 3, 3)  # Number of convolutions of each stage.


def width_of(stage: int, width: int) -> int:
  """Returns the number of channels of a stage of a VGG, from that of the first.

  Stages are counted from 1. The width doubles with each up to the fourth.
  """
  return width * 2 ** min(max(stage - 1, 0), 3)


class PoolingEncoder(nn.Module):
  """Applies the convolutions of a VGG with batch norm, and records max pooling.

  Parameters have the names of `backbones.vgg`, so that its weights fit.
  """

  depths: tuple[int, ...] = VGG16
  width: int = 64  # Channels of the first stage.
  dropout: float = 0.0  # Rate after the third pool and those that follow it.

  @nn.compact
  def __call__(self, x, train):
    """Returns the last pool's output, and what `unpool` needs of each pool.

    Args:
      x: images [B, H, W, C].
      train: whether dropout is on, and norms take statistics from the batch.

    Returns:
      features [B, h, w, C]; and for each pool (positions of the maxima,
      (height, width) of its input).
    """
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
      x, positions = max_pool(x)
      pools.append((positions, size))
      x = _dropout(self, x, stage, train)
    return x, pools


class UnpoolingDecoder(nn.Module):
  """Mirrors a `PoolingEncoder`: each stage unpools and then convolves.

  Unpooling puts values back to the positions of the maxima and leaves zeros
  elsewhere, which the convolutions fill. The last convolution of a stage has
  the channels of the next one.
  """

  # Channels of the last convolution, which then has no norm, as in SegNet. With
  # 0 the last convolution is like the others.
  num_classes: int = 0
  depths: tuple[int, ...] = VGG16
  width: int = 64  # Channels of the first stage of the encoder.
  dropout: float = 0.0  # Rate after the last stages down to the third.
  transposed: bool = False  # Transposed convolutions, as in DeconvNet.

  @nn.compact
  def __call__(self, x, pools, train):
    """Returns scores or features [B, H, W, K or `width`].

    Args:
      x: features [B, h, w, C] of the encoder.
      pools: the second output of the encoder.
      train: whether dropout is on, and norms take statistics from the batch.
    """
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
  """Applies dropout from the third stage on, if `train` or with a random key.

  Bayesian SegNet samples in evaluation by giving the stream 'dropout' a key.
  """
  if stage < 3:
    return x
  on = train or module.has_rng('dropout')
  dropout = nn.Dropout(module.dropout, name=f'dropout{stage}')
  return dropout(x, deterministic=not on)
