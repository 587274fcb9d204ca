"""Deep dilated net for retinal vessels, https://arxiv.org/abs/1905.12120.

An encoder sees the image again at each of its scales, a pyramid of dilated
convolutions gathers context at the bottom, and a decoder joins what it enlarges
with skips. This is a reconstruction: the authors published neither code nor
weights, and layers and widths are read from the paper's abstract and from
somebody else's Keras code for aerial images (digital-idiot/ML_ScratchPad,
DilationNet.ipynb). Checked against a PyTorch network built from the same two,
so that agreement says that both readings are the same, not that they are right.
Not DilatedNet, https://arxiv.org/abs/1511.07122, for which some lists take it.
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
  """Three strided stages, dilation at the bottom, and the way back up."""

  num_classes: int
  features: int = 64  # Of the stem; they double with each stage.
  rates: tuple[int, ...] = (1, 2, 4, 8)  # Of the pyramid.

  @nn.compact
  def __call__(self, image, *, train=False):
    x = conv(self.features, bias=True, name='stem1')(image)
    x = conv(self.features, bias=True, name='stem2')(x)
    skips = []
    for i in (1, 2, 3):
      skips.append(x)
      width = self.features * 2**i
      # Rounded up, as strided convolutions are, so that images of all sizes do.
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
  """So many times a 3x3 convolution, ReLU and only then batch norm."""

  features: int
  count: int
  stride: int = 1  # Of the first.
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
  """Two units and a convolution, of dilation 2, added to their input."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    y = Units(self.features, 2, dilation=2, name='units')(x, train)
    y = ConvNormAct(
        self.features, dilation=2, bias=True, act=None, name='project'
    )(y, train)
    return nn.relu(x + y)
