"""MobileNetV2 and MobileNetV3.

https://arxiv.org/abs/1801.04381 and https://arxiv.org/abs/1905.02244. Inverted
residual blocks widen the features, filter each channel separately, and narrow
them again; the shortcut connects the narrow features. Checked against
torchvision 0.28.

Weights fit any output stride, but published dilated networks differ in which
convolutions dilate, see `RATES`: weights load with the wrong rule too, and only
scores suffer. 'v3_large' and 'v3_small' follow torchvision, 'v2_mmseg'
mmsegmentation 1.2.2, 'v2_jfzhang' jfzhang95/pytorch-deeplab-xception, and
'v2_drsleep' DrSleep/light-weight-refinenet. 'v2_keras' is that of Keras, which
pads even sides at their end alone where it strides, and adds 1e-3 to variances.
'v3_large_seg' and 'v3_small_seg' have half the channels after the last stride,
as in the authors' segmentation networks: tensorflow/models,
research/deeplab/core/feature_extractor.py.
"""

from collections.abc import Callable
import functools
from typing import NamedTuple

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import norm as norms
from segjax.layers import remat
from segjax.layers.conv import Conv
from segjax.layers.conv import ConvNormAct
from segjax.ops.pad import pad_as_tensorflow

# Batch norm of torchvision's MobileNetV3. PyTorch calls this momentum 0.01.
v3_norm = functools.partial(norms.BatchNorm, momentum=0.99, epsilon=1e-3)

keras_norm = functools.partial(norms.BatchNorm, momentum=0.999, epsilon=1e-3)

# Rules for the dilation of a block, from three values: whether the block is the
# first of its width, and the dilations before and after the stride of that
# width.
RATES = {
    # TensorFlow's DeepLab: every second pixel equals the strided network's.
    'exact': lambda first, before, after: before if first else after,
    'all': lambda first, before, after: after,  # torchvision.
    'first': lambda first, before, after: after if first else 1,  # mmseg.
    'late': lambda first, before, after: before,  # jfzhang.
}


class Row(NamedTuple):
  """Sizes of an inverted residual block, a row in the tables of the papers."""

  kernel: int
  expanded: int  # Channels inside of the block.
  features: int  # Channels of its output.
  squeeze: bool  # Whether it has a `SqueezeExcite`.
  act: Callable
  stride: int


class SqueezeExcite(nn.Module):
  """Scales each channel by a factor computed from the means of all channels."""

  features: int  # Channels between the two 1x1 convolutions.

  @nn.compact
  def __call__(self, x):
    gate = x.mean((1, 2), keepdims=True)
    gate = nn.relu(Conv(self.features, (1, 1), name='fc1')(gate))
    gate = Conv(x.shape[-1], (1, 1), name='fc2')(gate)
    return x * nn.hard_sigmoid(gate)


class InvertedResidual(nn.Module):
  """Applies a widening 1x1, a depthwise and a narrowing 1x1 convolution.

  The input is added if it has the shape of the output.
  """

  row: Row
  stride: int = 1
  dilation: int = 1
  norm: Callable[..., nn.Module] = norms.BatchNorm
  # Pads the input of the block instead of that of the depthwise convolution.
  # The latter then reads, beyond the border, what conv and norm make of zeros.
  pad_input: bool = False
  # Has the first 1x1 convolution even where it does not widen, as in the public
  # code of ContextNet.
  always_expand: bool = False
  tensorflow_padding: bool = False  # See `Backbone`.
  last_norm: bool = True  # Whether a norm ends the block.
  expose: bool = False  # Returns what the depthwise convolution reads, too.

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    kernel, expanded, features, squeeze, act, _ = self.row
    y, padding = x, None
    if self.pad_input:
      reach = self.dilation * (kernel - 1) // 2
      y = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
      padding = 0
    if self.always_expand or expanded != x.shape[-1]:
      y = ConvNormAct(
          expanded, kernel=1, norm=self.norm, act=act, name='expand'
      )(y, train)
    expanded_features = y
    if self.tensorflow_padding and self.stride > 1:
      y, padding = pad_as_tensorflow(y, kernel), 0
    y = ConvNormAct(
        expanded,
        kernel=kernel,
        stride=self.stride,
        dilation=self.dilation,
        groups=expanded,
        padding=padding,
        norm=self.norm,
        act=act,
        name='depthwise',
    )(y, train)
    if squeeze:
      y = SqueezeExcite(divisible(expanded // 4), name='squeeze')(y)
    norm = self.norm if self.last_norm else None
    y = ConvNormAct(features, kernel=1, norm=norm, act=None, name='project')(
        y, train
    )
    y = x + y if x.shape == y.shape else y
    return (y, expanded_features) if self.expose else y


def divisible(width):
  """Rounds a width to a multiple of 8 that is at least 0.9 of it."""
  rounded = max(8, (width + 4) // 8 * 8)
  return rounded + 8 if rounded < 0.9 * width else rounded


class Backbone(nn.Module):
  """A strided stem and inverted residual blocks.

  'c1' to 'c5' are the last blocks at their stride. 'c2_first' to 'c5_first' are
  the first ones, which torchvision's segmentation networks read, and 'c4_inner'
  is the last block before the width changes at a stride. In MobileNetV3
  'c5' is the 1x1 convolution after the blocks; in MobileNetV2 this convolution
  belongs to the classifier, and exists only with `num_classes`. With `expanded`
  there are 'c1_expanded' to 'c4_expanded', too: what the widening convolution
  of the block makes that leaves this stride.
  """

  blocks: tuple[Row, ...]
  last: int  # Channels of the 1x1 convolution after the blocks.
  stem: int  # Channels of the stem.
  act: Callable  # Activation of the stem and of the 1x1 convolution.
  norm: Callable[..., nn.Module]
  hidden: int = 0  # Features of the classifier's hidden layer in V3; 0 in V2.
  rates: str = 'exact'  # A key of `RATES`.
  pad_input: bool = False  # See `InvertedResidual`.
  always_expand: bool = False  # See `InvertedResidual`.
  # Whether convolutions with a stride pad as TensorFlow does: even sides by one
  # pixel at their end.
  tensorflow_padding: bool = False
  expanded: bool = False  # Whether there are the levels of the wide features.
  last_norm: bool = True  # Whether the last block ends with a norm.
  output_stride: int = 32
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  @property
  def levels(self):
    """Names of the levels that the backbone returns."""
    names, features = ['c1'], self.blocks[0].features
    for row in self.blocks:
      level = names[-1][:2]
      if row.stride > 1:
        if self.expanded:
          names.append(f'{level}_expanded')
        level = f'c{int(level[1:]) + 1}'
        names += [level, f'{level}_first']
      elif row.features != features:
        names.append(f'{level}_inner')
      features = row.features
    return tuple(names)

  @nn.compact
  def __call__(self, image, train=False):
    if self.output_stride not in (8, 16, 32):
      raise ValueError(
          f'output_stride={self.output_stride}: a MobileNet has 8, 16 or 32.'
      )
    conv = functools.partial(ConvNormAct, norm=self.norm, act=self.act)
    x, padding = image, None
    if self.tensorflow_padding:
      x, padding = pad_as_tensorflow(image, 3), 0
    x = conv(self.stem, stride=2, padding=padding, name='stem')(x, train)
    feats, level, total, dilation = {'c1': x}, 1, 2, 1
    features = 0
    for i, row in enumerate(self.blocks, 1):
      first, features = row.features != features, row.features
      if first:
        before = dilation
        if i > 1 and row.stride == 1:
          feats[f'c{level}_inner'] = x
      stride = row.stride
      if total * stride > self.output_stride:  # Dilate instead of striding.
        stride, dilation = 1, dilation * stride
      total *= stride
      x = InvertedResidual(
          row,
          stride=stride,
          dilation=RATES[self.rates](first, before, dilation),
          norm=self.norm,
          pad_input=self.pad_input,
          always_expand=self.always_expand,
          tensorflow_padding=self.tensorflow_padding,
          last_norm=self.last_norm or i < len(self.blocks),
          expose=self.expanded and row.stride > 1,
          name=f'block{i}',
      )(x, train)
      if row.stride > 1:
        if self.expanded:
          x, feats[f'c{level}_expanded'] = x
        level += 1
        feats[f'c{level}_first'] = x
      feats[f'c{level}'] = x
    if self.hidden or self.num_classes:
      x = conv(self.last, kernel=1, name='last')(x, train)
    if self.hidden:
      feats['c5'] = x
    if self.num_classes:
      init = nn.initializers.normal(0.01)
      y = x.mean((1, 2))
      if self.hidden:
        y = nn.Dense(self.hidden, kernel_init=init, name='hidden')(y)
        y = nn.hard_swish(y)
      y = nn.Dense(self.num_classes, kernel_init=init, name='classifier')(y)
      feats['class_logits'] = y
    return feats


def v2(**fields):
  """Returns the fields of a MobileNetV2, with `fields` added."""
  blocks, width = [], 32
  # Expansion, channels, number and stride of blocks, from table 2 of the paper.
  for expansion, features, depth, stride in (
      (1, 16, 1, 1),
      (6, 24, 2, 2),
      (6, 32, 3, 2),
      (6, 64, 4, 2),
      (6, 96, 3, 1),
      (6, 160, 3, 2),
      (6, 320, 1, 1),
  ):
    for i in range(depth):
      blocks.append(
          Row(
              kernel=3,
              expanded=expansion * width,
              features=features,
              squeeze=False,
              act=nn.relu6,
              stride=stride if i == 0 else 1,
          )
      )
      width = features
  return dict(
      blocks=tuple(blocks),
      last=1280,
      stem=32,
      act=nn.relu6,
      **{'norm': norms.BatchNorm, **fields},
  )


def v3(*blocks, last, hidden, stem=16, rates='all'):
  """Returns the fields of a MobileNetV3 with blocks given as `Row`s."""
  return dict(
      blocks=tuple(Row(*block) for block in blocks),
      last=last,
      stem=stem,
      act=nn.hard_swish,
      norm=v3_norm,
      hidden=hidden,
      rates=rates,
  )


# Tables 1 and 2 of MobileNetV3 up to the last stride. RE and HS are the names
# of activations there.
RE, HS = nn.relu, nn.hard_swish
LARGE = (
    (3, 16, 16, False, RE, 1),
    (3, 64, 24, False, RE, 2),
    (3, 72, 24, False, RE, 1),
    (5, 72, 40, True, RE, 2),
    (5, 120, 40, True, RE, 1),
    (5, 120, 40, True, RE, 1),
    (3, 240, 80, False, HS, 2),
    (3, 200, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 480, 112, True, HS, 1),
    (3, 672, 112, True, HS, 1),
)
SMALL = (
    (3, 16, 16, True, RE, 2),
    (3, 72, 24, False, RE, 2),
    (3, 88, 24, False, RE, 1),
    (5, 96, 40, True, HS, 2),
    (5, 240, 40, True, HS, 1),
    (5, 240, 40, True, HS, 1),
    (5, 120, 48, True, HS, 1),
    (5, 144, 48, True, HS, 1),
)

VARIANTS = {
    'tiny': v3(
        (3, 8, 8, False, RE, 1),
        (3, 24, 12, False, RE, 2),
        (5, 36, 16, True, RE, 2),
        (3, 64, 24, True, HS, 2),
        (5, 96, 32, True, HS, 2),
        (5, 128, 32, True, HS, 1),
        last=64,
        hidden=64,
        stem=8,
        rates='exact',
    ),
    'v2': v2(),
    'v2_mmseg': v2(rates='first'),
    'v2_jfzhang': v2(rates='late', pad_input=True),
    'v2_drsleep': v2(always_expand=True),
    'v2_keras': v2(norm=keras_norm, tensorflow_padding=True),
    'v3_large': v3(
        *LARGE,
        (5, 672, 160, True, HS, 2),
        (5, 960, 160, True, HS, 1),
        (5, 960, 160, True, HS, 1),
        last=960,
        hidden=1280,
    ),
    'v3_small': v3(
        *SMALL,
        (5, 288, 96, True, HS, 2),
        (5, 576, 96, True, HS, 1),
        (5, 576, 96, True, HS, 1),
        last=576,
        hidden=1024,
    ),
    'v3_large_seg': v3(
        *LARGE,
        (5, 336, 80, True, HS, 2),
        (5, 480, 80, True, HS, 1),
        (5, 480, 80, True, HS, 1),
        last=480,
        hidden=1280,
        rates='exact',
    ),
    'v3_small_seg': v3(
        *SMALL,
        (5, 144, 48, True, HS, 2),
        (5, 288, 48, True, HS, 1),
        (5, 288, 48, True, HS, 1),
        last=288,
        hidden=1024,
        rates='exact',
    ),
}
