"""AdapNet, https://doi.org/10.1109/ICRA.2017.7989540.

Valada et al., ICRA 2017. A compact ResNet with norms and ReLUs before its
convolutions, whose later blocks look at features at two rates, for segmentation
in adverse conditions. This is the network of GeorgeSeif's
Semantic-Segmentation-Suite, against a PyTorch copy of which it was checked; the
authors' own later network is AdapNet++, https://arxiv.org/abs/1808.03833, which
is another one. Sides that are no multiples of 16 are padded with zeros.

The Suite never updates running statistics and normalises by those of the batch
in evaluation as well, `batch_at_test=True`; here running statistics are used,
so that a score does not depend on the other images.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import Conv
from segjax.layers.conv import he_normal
from segjax.layers.head import classifier
from segjax.layers.norm import slim_batch_norm
from segjax.ops.pad import pad_to_multiple
from segjax.ops.pool import max_pool
from segjax.ops.upsample_aligned import upsample_aligned


class NormActConv(nn.Module):
  """Applies a norm, a ReLU and a convolution that pads as TensorFlow does."""

  features: int
  kernel: int = 1
  stride: int = 1
  dilation: int = 1
  batch_at_test: bool = False

  @nn.compact
  def __call__(self, x, train):
    x = slim_batch_norm(train, batch_at_test=self.batch_at_test, name='norm')(x)
    return Conv(
        self.features,
        (self.kernel, self.kernel),
        strides=self.stride,
        padding='SAME',
        kernel_dilation=self.dilation,
        kernel_init=he_normal,
        name='conv',
    )(nn.relu(x))


class Block(nn.Module):
  """Adds a bottleneck to the input.

  Without `rates` a 3x3 convolution stands in the middle of the bottleneck, with
  them two of `inner` / 2 channels each, side by side. An input that has other
  channels is projected.
  """

  width: int  # Channels of the first convolution; the last has four times more.
  stride: int = 1
  rates: tuple[int, ...] = ()
  inner: int = 0
  batch_at_test: bool = False

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    layer = functools.partial(NormActConv, batch_at_test=self.batch_at_test)
    y = layer(self.width, stride=self.stride, name='conv1')(x, train)
    if self.rates:
      branches = [
          layer(
              self.inner // len(self.rates), 3, dilation=rate, name=f'rate{i}'
          )(y, train)
          for i, rate in enumerate(self.rates, 1)
      ]
      y = jnp.concatenate(branches, -1)
    else:
      y = layer(self.width, 3, name='conv2')(y, train)
    y = layer(4 * self.width, name='conv3')(y, train)
    if x.shape != y.shape:
      x = layer(y.shape[-1], stride=self.stride, name='shortcut')(x, train)
    return x + y


class Model(nn.Module):
  """Blocks to stride 16, a skip at stride 8, and a classifier."""

  num_classes: int
  width: int = 64  # Channels of the stem.
  # Channels that features are reduced to before they are added and enlarged.
  # The Suite has 12 for any number of classes.
  reduced: int = 12
  batch_at_test: bool = False  # See `BatchNorm`.

  @nn.compact
  def __call__(self, image, *, train=False):
    layer = functools.partial(NormActConv, batch_at_test=self.batch_at_test)
    block = functools.partial(Block, batch_at_test=self.batch_at_test)
    width = self.width

    x = pad_to_multiple(image, 16)
    x = layer(width, 3, name='stem1')(x, train)
    x = layer(width, 7, stride=2, name='stem2')(x, train)
    x = max_pool(x, (2, 2), (2, 2))
    for i in range(3):
      x = block(width, name=f'stage1_{i}')(x, train)
    for i in range(3):
      stride = 2 if i == 0 else 1
      x = block(2 * width, stride, name=f'stage2_{i}')(x, train)
    skip = layer(self.reduced, name='skip')(x, train)
    x = block(2 * width, rates=(1, 2), inner=width, name='stage2_3')(x, train)
    for i in range(2):
      stride = 2 if i == 0 else 1
      x = block(4 * width, stride, name=f'stage3_{i}')(x, train)
    for i, rate in enumerate((2, 4, 8, 16), 2):
      x = block(4 * width, rates=(1, rate), inner=width, name=f'stage3_{i}')(
          x, train
      )
    for i, rate in enumerate((4, 8, 16)):
      x = block(
          8 * width, rates=(2, rate), inner=8 * width, name=f'stage4_{i}'
      )(x, train)
    x = layer(self.reduced, name='reduce')(x, train)
    x = skip + upsample_aligned(x, 2, skip.shape[1:3])
    x = upsample_aligned(x, 8, image.shape[1:3])
    return {'logits': classifier(self.num_classes)(x), 'aux': {}}
