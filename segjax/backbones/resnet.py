"""ResNet, https://arxiv.org/abs/1512.03385, with stride or dilation.

The stride of a bottleneck sits in its 3x3 convolution, as in torchvision 0.28
and in the weights that most people hold. Checked against torchvision.
"""

from collections.abc import Callable
import functools

from flax import linen as nn

from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct

# The last norm of a residual branch starts at 0 and the block as identity:
# Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 5.1.
last_norm = functools.partial(
    norms.batch_norm, scale_init=nn.initializers.zeros
)


class BasicBlock(nn.Module):
  """Two 3x3 convolutions and a shortcut; figure 5, left.

  `first` is the dilation of the convolution that strides, or would stride if
  the stage were not dilated; what comes after it has `dilation`.
  """

  width: int
  stride: int = 1
  first: int = 1
  dilation: int = 1

  @nn.compact
  def __call__(self, x, train):
    y = ConvNormAct(
        self.width, stride=self.stride, dilation=self.first, name='conv1'
    )(x, train)
    y = ConvNormAct(
        self.width,
        dilation=self.dilation,
        norm=last_norm,
        act=None,
        name='conv2',
    )(y, train)
    return nn.relu(y + shortcut(x, y, self.stride, train))


class Bottleneck(nn.Module):
  """1x1, 3x3 and 1x1 convolution and a shortcut; figure 5, right."""

  width: int
  stride: int = 1
  first: int = 1
  dilation: int = 1  # Of the other 3x3 convolutions, which are none here.

  @nn.compact
  def __call__(self, x, train):
    y = ConvNormAct(self.width, kernel=1, name='conv1')(x, train)
    y = ConvNormAct(
        self.width, stride=self.stride, dilation=self.first, name='conv2'
    )(y, train)
    y = ConvNormAct(
        4 * self.width, kernel=1, norm=last_norm, act=None, name='conv3'
    )(y, train)
    return nn.relu(y + shortcut(x, y, self.stride, train))


def shortcut(x, y, stride, train):
  """Returns `x`, projected by a 1x1 convolution where its shape differs."""
  if x.shape == y.shape:
    return x
  return ConvNormAct(
      y.shape[-1], kernel=1, stride=stride, act=None, name='shortcut'
  )(x, train)


class Backbone(nn.Module):
  """Four stages of residual blocks behind a strided stem.

  Beyond `output_stride`, stages dilate instead of striding: the convolution
  that would stride keeps the dilation so far, all after it double it, so that
  dense features, subsampled, equal the strided ones.
  """

  block: Callable[..., nn.Module]
  depths: tuple[int, int, int, int]
  width: int = 64
  output_stride: int = 32
  # Unit rates of the blocks of the last stage, multiplied with its dilation:
  # DeepLabv3, section 3.2.1. Empty: the rule above.
  multi_grid: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, image, train=False):
    if self.output_stride not in (8, 16, 32):
      raise ValueError(
          f'output_stride={self.output_stride}: a ResNet has 8, 16 or 32.'
      )
    if self.multi_grid and len(self.multi_grid) != self.depths[-1]:
      raise ValueError(
          f'multi_grid={self.multi_grid} wants one rate for each of the'
          f' {self.depths[-1]} blocks of the last stage.'
      )
    x = ConvNormAct(self.width, kernel=7, stride=2, name='stem')(image, train)
    feats = {'c1': x}
    x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
    total, dilation = 4, 1
    for level, depth in enumerate(self.depths, 2):
      stride = 1 if level == 2 else 2
      if total * stride > self.output_stride:  # Dilate instead of striding.
        first, stride, dilation = dilation, 1, dilation * stride
      else:
        first, total = dilation, total * stride
      for i in range(depth):
        unit = self.multi_grid[i] if level == 5 and self.multi_grid else 0
        x = self.block(
            self.width * 2 ** (level - 2),
            stride=stride if i == 0 else 1,
            first=unit * dilation or (first if i == 0 else dilation),
            dilation=unit * dilation or dilation,
            name=f'stage{level - 1}_{i}',
        )(x, train)
      feats[f'c{level}'] = x
    return feats


VARIANTS = {
    'tiny': dict(block=BasicBlock, depths=(1, 1, 1, 1), width=16),
    '18': dict(block=BasicBlock, depths=(2, 2, 2, 2)),
    '34': dict(block=BasicBlock, depths=(3, 4, 6, 3)),
    '50': dict(block=Bottleneck, depths=(3, 4, 6, 3)),
    '101': dict(block=Bottleneck, depths=(3, 4, 23, 3)),
    '152': dict(block=Bottleneck, depths=(3, 8, 36, 3)),
}
