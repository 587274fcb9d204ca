"""MSCAN, the backbone of SegNeXt, https://arxiv.org/abs/2209.08575.

Convolutional attention: depthwise convolutions with strips of several lengths
make a map that the features are multiplied by (section 3.1). Checked against
mmsegmentation 1.2.2.
"""

from flax import linen as nn
import numpy as np

from segjax.layers import norm as norms
from segjax.layers import remat
from segjax.layers.conv import conv
from segjax.layers.conv import he_fan_in
from segjax.layers.dropout import drop_path
from segjax.layers.layer_scale import LayerScale
from segjax.layers.norm import layer_norm


def gelu(x):
  """Returns the exact GELU, by the error function."""
  return nn.gelu(x, approximate=False)


def depthwise(x, kernel, name):
  """Convolves each channel by itself."""
  channels = x.shape[-1]
  return conv(
      channels, kernel, groups=channels, bias=True, init=he_fan_in, name=name
  )(x)


class Attention(nn.Module):
  """Multiplies features by an attention map of themselves; figure 2b."""

  strips: tuple[int, ...]  # Lengths of the strips.

  @nn.compact
  def __call__(self, x):
    channels = x.shape[-1]
    y = gelu(conv(channels, 1, bias=True, name='expand')(x))
    local = depthwise(y, 5, 'local')
    scales = [local]
    for i, length in enumerate(self.strips, 1):
      row = depthwise(local, (1, length), f'row{i}')
      scales.append(depthwise(row, (length, 1), f'column{i}'))
    y *= conv(channels, 1, bias=True, name='mix')(sum(scales))
    return x + conv(channels, 1, bias=True, name='reduce')(y)


class MLP(nn.Module):
  """Applies an MLP with a depthwise 3x3 convolution before its activation."""

  ratio: int  # Width of the hidden layer, in widths of the input.

  @nn.compact
  def __call__(self, x):
    y = conv(self.ratio * x.shape[-1], 1, bias=True, name='expand')(x)
    y = gelu(depthwise(y, 3, 'depthwise'))
    return conv(x.shape[-1], 1, bias=True, name='reduce')(y)


class Block(nn.Module):
  """Adds attention and then an MLP, each after a batch norm; figure 2a."""

  ratio: int
  strips: tuple[int, ...]
  drop_path: float  # Probability that an image skips a branch in training.
  layer_scale: float  # That the factors on the branches begin with.

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    branches = (
        Attention(self.strips, name='attention'),
        MLP(self.ratio, name='mlp'),
    )
    for i, branch in enumerate(branches, 1):
      y = branch(norms.BatchNorm(train, name=f'norm{i}')(x))
      y = LayerScale(self.layer_scale, name=f'scale{i}')(y)
      x += drop_path(self.drop_path, train)(y)
    return x


class Backbone(nn.Module):
  """Four stages, each a strided convolution, blocks and a layer norm.

  'c2' to 'c5' are the outputs of the stages, at strides 4, 8, 16 and 32.
  """

  widths: tuple[int, ...]  # Channels of the stages.
  depths: tuple[int, ...]  # Blocks of the stages.
  ratios: tuple[int, ...] = (8, 8, 4, 4)  # See `MLP`, by stage.
  strips: tuple[int, ...] = (7, 11, 21)  # See `Attention`.
  # Probability that an image skips a branch of the last block in training. It
  # grows linearly from 0 in the first block.
  drop_path: float = 0.1
  # That the factors on the branches of the blocks begin with.
  layer_scale: float = 0.01

  levels = ('c2', 'c3', 'c4', 'c5')

  @nn.compact
  def __call__(self, image, train=False):
    x, feats = image, {}
    rates = iter(np.linspace(0, self.drop_path, sum(self.depths)).tolist())
    for i, (width, depth) in enumerate(
        zip(self.widths, self.depths, strict=True), 1
    ):
      if i == 1:
        x = conv(width // 2, stride=2, bias=True, name='stem')(x)
        x = gelu(norms.BatchNorm(train, name='stem_norm')(x))
      x = conv(width, stride=2, bias=True, name=f'patches{i}')(x)
      x = norms.BatchNorm(train, name=f'patches{i}_norm')(x)
      for j in range(depth):
        x = Block(
            self.ratios[i - 1],
            self.strips,
            next(rates),
            self.layer_scale,
            name=f'stage{i}_{j}',
        )(x, train)
      x = layer_norm(f'norm{i}', epsilon=1e-5)(x)
      feats[f'c{i + 1}'] = x
    return feats


WIDE = (64, 128, 320, 512)
VARIANTS = {
    'mini': dict(
        widths=(16, 32, 32, 64),
        depths=(1, 1, 1, 1),
        ratios=(4, 4, 4, 4),
        strips=(7, 11),
        layer_scale=1.0,  # Few blocks learn little in short runs else.
    ),
    'tiny': dict(widths=(32, 64, 160, 256), depths=(3, 3, 5, 2)),
    'small': dict(widths=WIDE, depths=(2, 2, 4, 2)),
    'base': dict(widths=WIDE, depths=(3, 3, 12, 3)),
    'large': dict(widths=WIDE, depths=(3, 5, 27, 3), drop_path=0.3),
}
