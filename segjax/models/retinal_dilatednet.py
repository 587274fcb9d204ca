"""Deep dilated net for retinal vessels, https://arxiv.org/abs/1905.12120.

An encoder adds features of the image at each of its scales, a pyramid of
dilated convolutions gathers context at the lowest resolution, and a decoder
concatenates enlarged features with skips. This is a reconstruction: the authors
published neither code nor weights, and layers and widths are taken from the
paper's abstract and from another author's Keras code for aerial images
(digital-idiot/ML_ScratchPad, DilationNet.ipynb). Checked against a PyTorch
network built from the same two sources, which shows that both readings agree,
not that they are right. Some lists confuse it with DilatedNet,
https://arxiv.org/abs/1511.07122.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import classifier
from segjax.ops.pool import max_pool
from segjax.ops.resize import resize


class Model(nn.Module):
  """Encoder of three stages, dilated pyramid, and decoder with skips."""

  num_classes: int
  features: int = 64  # Channels of the stem; they double with each stage.
  rates: tuple[int, ...] = (1, 2, 4, 8)  # Dilations of the pyramid.

  @nn.compact
  def __call__(self, image, *, train=False):
    x = conv(self.features, bias=True, name='stem1')(image)
    x = conv(self.features, bias=True, name='stem2')(x)
    skips = []
    for i in (1, 2, 3):
      skips.append(x)
      width = self.features * 2**i
      # Sizes round up as with the strided convolutions, so any image fits.
      odd = tuple((0, side % 2) for side in x.shape[1:3])
      x = max_pool(x, (2, 2), (2, 2), odd)
      x = Units(width, 2, name=f'encode{i}')(x, train)
      x += Units(width, 3, stride=2**i, name=f'image{i}')(image, train)
      x = ResidualBlock(width, name=f'residual{i}')(x, train)
    for i in (1, 2, 3):
      x = ResidualBlock(width, name=f'middle{i}')(x, train)
    pyramid = [
        Units(width, 1, dilation=rate, name=f'pyramid{i}')(x, train)
        for i, rate in enumerate(self.rates)
    ]
    x = jnp.concatenate(pyramid, -1)
    x = Units(width, 2, name='decode3')(x, train)
    for i in (2, 1, 0):
      x = resize(x, skips[i].shape[1:3])
      x = jnp.concatenate([x, skips[i]], -1)
      x = Units(self.features * 2**i, 2, name=f'decode{i}')(x, train)
    return {'logits': classifier(self.num_classes)(x), 'aux': {}}


class Units(nn.Module):
  """Applies `count` times a 3x3 convolution, then ReLU, then batch norm."""

  features: int
  count: int  # Number of convolutions.
  stride: int = 1  # Stride of the first convolution.
  dilation: int = 1

  @nn.compact
  def __call__(self, x, train):
    for i in range(1, self.count + 1):
      x = conv(
          self.features,
          stride=self.stride if i == 1 else 1,
          dilation=self.dilation,
          bias=True,
          name=f'conv{i}',
      )(x)
      x = norms.BatchNorm(train, name=f'norm{i}')(nn.relu(x))
    return x


class ResidualBlock(nn.Module):
  """Adds two units and a convolution, all with dilation 2, to their input."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    y = Units(self.features, 2, dilation=2, name='units')(x, train)
    y = ConvNormAct(
        self.features, dilation=2, bias=True, act=None, name='project'
    )(y, train)
    return nn.relu(x + y)
