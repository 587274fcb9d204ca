"""CGNet, https://arxiv.org/abs/1811.08201.

A light network whose blocks join what a pixel is with its surroundings, a 3x3
and a dilated 3x3 convolution within channels, and gate the channels by the
whole image; smaller images are fed in again. The authors' code
(wutianyiRosun/CGNet) is `classifier_bias=False`; mmsegmentation 1.2.2 has the
same network with a bias and `slope=0.0`. Checked against both.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.channel_attention import Excitation
from segjax.layers.conv import conv
from segjax.layers.prelu import ConvNormPReLU
from segjax.layers.prelu import NormPReLU
from segjax.ops.pool import halve
from segjax.ops.resize import resize

EPSILON = 1e-3  # Of all norms.


class ContextGuided(nn.Module):
  """Joins each pixel with its surroundings, and gates them by the image.

  Figure 3. A block either halves the size, (c), or adds its input, (b).
  """

  features: int
  dilation: int  # Of the convolution that sees the surroundings.
  reduction: int  # See `Excitation`.
  down: bool = False  # Halves the size.
  slope: float = 0.25  # See `PReLU`.

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    width = self.features if self.down else self.features // 2
    y = ConvNormPReLU(
        width,
        kernel=3 if self.down else 1,
        stride=2 if self.down else 1,
        epsilon=EPSILON,
        init=self.slope,
        name='reduce',
    )(x, train)
    local = conv(width, groups=width, name='local')(y)
    surround = conv(
        width, groups=width, dilation=self.dilation, name='surround'
    )(y)
    y = jnp.concatenate([local, surround], -1)
    y = NormPReLU(EPSILON, self.slope, name='join')(y, train)
    if self.down:
      y = conv(self.features, 1, name='project')(y)
    # f_glo of figure 3.
    y *= Excitation(self.reduction, name='gate')(y)
    return y if self.down else x + y


class Model(nn.Module):
  """Stem, two stages of blocks at strides 4 and 8, upsampling; figure 4."""

  num_classes: int
  depths: tuple[int, int] = (3, 21)  # Blocks of each stage: M and N.
  features: tuple[int, int, int] = (32, 64, 128)  # Of stem and stages.
  dilations: tuple[int, int] = (2, 4)
  reductions: tuple[int, int] = (8, 16)  # See `Excitation`.
  slope: float = 0.25  # Of negative values at the start, see `PReLU`.
  classifier_bias: bool = True
  dropout: float = 0.0  # Of whole channels, before the classifier.

  @nn.compact
  def __call__(self, image, *, train=False):
    def join(parts, name):
      x = jnp.concatenate(parts, -1)
      return NormPReLU(EPSILON, self.slope, name=name)(x, train)

    half = halve(image)
    x = image
    for i in range(3):
      x = ConvNormPReLU(
          self.features[0],
          stride=2 if i == 0 else 1,
          epsilon=EPSILON,
          init=self.slope,
          name=f'stem{i + 1}',
      )(x, train)
    x = join([x, half], 'join0')
    first, x = self.stage(1, x, train)
    x = join([x, first, halve(half)], 'join1')
    first, x = self.stage(2, x, train)
    x = join([first, x], 'join2')
    x = nn.Dropout(self.dropout, broadcast_dims=(1, 2))(
        x, deterministic=not train
    )
    logits = conv(
        self.num_classes, 1, bias=self.classifier_bias, name='classifier'
    )(x)
    return {'logits': resize(logits, image.shape[1:3]), 'aux': {}}

  def stage(self, number, x, train):
    """Returns the outputs of the first and of the last block of a stage."""
    for i in range(self.depths[number - 1]):
      x = ContextGuided(
          self.features[number],
          dilation=self.dilations[number - 1],
          reduction=self.reductions[number - 1],
          down=i == 0,
          slope=self.slope,
          name=f'stage{number}_{i}',
      )(x, train)
      if i == 0:
        first = x
    return first, x
