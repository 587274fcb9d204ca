"""Modified aligned Xception, https://arxiv.org/abs/1802.02611, figure 4.

Blocks have three separable convolutions, of which the last strides instead of
pooling. Checked against timm 1.0.31, whose weights come from TensorFlow's
DeepLab, and, with `jfzhang`, against jfzhang95/pytorch-deeplab-xception.
timm's weights expect images scaled to [-1, 1].
"""

import functools

from flax import linen as nn

from segjax.layers import norm as norms
from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct


class Block(nn.Module):
  """Adds three separable convolutions, each after a ReLU, to a shortcut.

  Returns the sum and the input of the third convolution, which strides: the
  last features at the stride of the block's input.
  """

  widths: tuple[int, int, int]  # Channels of each convolution.
  stride: int  # Stride of the third convolution.
  dilation: int
  project: bool  # Whether the shortcut has a 1x1 convolution.
  epsilon: float

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    norm = functools.partial(norms.BatchNorm, epsilon=self.epsilon)
    y = x
    for i, width in enumerate(self.widths, 1):
      before = y
      y = SeparableConvNormAct(
          width,
          stride=self.stride if i == 3 else 1,
          dilation=self.dilation,
          norm=norm,
          depthwise_act=None,
          act=None,
          name=f'separable{i}',
      )(nn.relu(y), train)
    if self.project:
      x = ConvNormAct(
          self.widths[-1],
          kernel=1,
          stride=self.stride,
          norm=norm,
          act=None,
          name='shortcut',
      )(x, train)
    return x + y, before


class LastBlock(nn.Module):
  """Applies three separable convolutions, each followed by a ReLU."""

  widths: tuple[int, int, int]
  dilation: int
  depthwise_relu: bool
  epsilon: float

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    for i, width in enumerate(self.widths, 1):
      x = SeparableConvNormAct(
          width,
          dilation=self.dilation,
          norm=functools.partial(norms.BatchNorm, epsilon=self.epsilon),
          depthwise_act=nn.relu if self.depthwise_relu else None,
          name=f'separable{i}',
      )(x, train)
    return x


class Backbone(nn.Module):
  """Entry, middle and exit flow; blocks are counted from 0.

  Once the stride has reached `output_stride`, blocks dilate instead: a block
  that would stride keeps the dilation so far, and those after it double it. So
  the dilated features, subsampled, equal the strided ones. 'c1' to 'c4' are the
  last features at their stride after batch norm and before the ReLU; the
  decoder of DeepLabv3+ reads 'c2'.
  """

  entry: tuple[tuple[int, int], ...]  # Width and stride of the entry's blocks.
  middle: int  # Number of blocks of the middle flow.
  stem: tuple[int, int] = (32, 64)  # Channels of the stem's convolutions.
  exit: tuple[int, int, int] = (1024, 1536, 2048)  # Widths of the exit flow.
  output_stride: int = 32
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.
  # Builds the network of jfzhang95's code. The ReLU before a block works in
  # place there, so that the shortcut reads its output too; the last block has a
  # ReLU before it but none within its separable convolutions; a level is the
  # input of the next block that strides; and norms have another epsilon. One
  # difference remains: at output stride 8, the third convolution of the last
  # but one block dilates here and not there.
  jfzhang: bool = False

  levels = ('c1', 'c2', 'c3', 'c4', 'c5')

  @nn.compact
  def __call__(self, image, train=False):
    if self.output_stride not in (8, 16, 32):
      raise ValueError(
          f'output_stride={self.output_stride}: an Xception has 8, 16 or 32.'
      )
    epsilon = 1e-5 if self.jfzhang else 1e-3
    norm = functools.partial(norms.BatchNorm, epsilon=epsilon)
    x = image
    for i, width in enumerate(self.stem, 1):
      x = ConvNormAct(
          width, stride=2 if i == 1 else 1, norm=norm, name=f'stem{i}'
      )(x, train)
    width = self.entry[-1][0]
    blocks = [((w, w, w), stride) for w, stride in self.entry]
    blocks += [((width, width, width), 1)] * self.middle
    blocks += [((width, self.exit[0], self.exit[0]), 2)]
    feats, level = {}, 1
    total, dilation = 2, 1
    for i, (widths, stride) in enumerate(blocks):
      if self.jfzhang:
        x = nn.relu(x)
      dense = total * stride > self.output_stride
      before = x
      x, inner = Block(
          widths,
          stride=1 if dense else stride,
          dilation=dilation,
          project=stride == 2 or widths[-1] != x.shape[-1],
          epsilon=epsilon,
          name=f'block{i}',
      )(x, train)
      if dense:  # The blocks after this one dilate.
        dilation *= stride
      else:
        total *= stride
      if stride == 2:
        feats[f'c{level}'] = before if self.jfzhang else inner
        level += 1
    if self.jfzhang:
      x = nn.relu(x)
    x = LastBlock(
        (self.exit[1], *self.exit[1:]),
        dilation=dilation,
        depthwise_relu=not self.jfzhang,
        epsilon=epsilon,
        name=f'block{len(blocks)}',
    )(x, train)
    feats['c5'] = x
    if self.num_classes:
      feats['class_logits'] = nn.Dense(self.num_classes, name='classifier')(
          x.mean((1, 2))
      )
    return feats


SHALLOW = ((128, 2), (256, 2), (728, 2))
DEEP = ((128, 2), (256, 1), (256, 2), (728, 1), (728, 2))
VARIANTS = {
    'tiny': dict(
        entry=((16, 2), (24, 2), (32, 2)),
        middle=1,
        stem=(8, 16),
        exit=(48, 64, 64),
    ),
    '41': dict(entry=SHALLOW, middle=8),
    '65': dict(entry=SHALLOW, middle=16),
    '71': dict(entry=DEEP, middle=16),
    '65_jfzhang': dict(entry=SHALLOW, middle=16, jfzhang=True),
}
