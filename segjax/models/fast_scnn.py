"""Fast-SCNN, https://arxiv.org/abs/1902.04502.

A stem that learns to downsample is shared by two branches: a deep one at stride
32, and the stem's own features at stride 8, which are added to it. As
mmsegmentation 1.2.2 builds it, which is larger than the paper's table 1
(pyramid pooling is appended to its input, and a 3x3 convolution follows) and
has auxiliary heads. Checked against it. The paper dilates the depthwise
convolution of the fusion, `fusion_dilation=4`, and has no auxiliary heads,
`aux_features=0`.
"""

import functools

from flax import linen as nn

from segjax.backbones.mobilenet import InvertedResidual
from segjax.backbones.mobilenet import Row
from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct
from segjax.layers.head import auxiliary_heads
from segjax.layers.head import segmentation_outputs
from segjax.layers.psp import PyramidPooling
from segjax.ops.resize import resize

# PyTorch calls this momentum 0.01.
batch_norm = functools.partial(norms.BatchNorm, momentum=0.99)
conv = functools.partial(ConvNormAct, norm=batch_norm)
separable = functools.partial(
    SeparableConvNormAct, norm=batch_norm, depthwise_act=None
)


class LearningToDownsample(nn.Module):
  """Applies a convolution and two separable ones, each with stride 2."""

  features: tuple[int, int, int]

  @nn.compact
  def __call__(self, x, train):
    first, second, third = self.features
    x = conv(first, stride=2, name='conv1')(x, train)
    x = separable(second, stride=2, name='conv2')(x, train)
    return separable(third, stride=2, name='conv3')(x, train)


class GlobalFeatureExtractor(nn.Module):
  """Applies three stages of inverted residual blocks and pyramid pooling."""

  widths: tuple[int, int, int]  # Channels of the stages.
  features: int  # Channels of the output.
  depth: int = 3  # Blocks of each stage.
  expansion: int = 6  # Factor on the channels inside of a block.

  @nn.compact
  def __call__(self, x, train):
    strides = 2, 2, 1
    for i, (width, stride) in enumerate(
        zip(self.widths, strides, strict=True), 1
    ):
      for j in range(self.depth):
        row = Row(
            kernel=3,
            expanded=self.expansion * x.shape[-1],
            features=width,
            squeeze=False,
            act=nn.relu,
            stride=stride if j == 0 else 1,
        )
        x = InvertedResidual(
            row, stride=row.stride, norm=batch_norm, name=f'stage{i}_{j}'
        )(x, train)
    x = PyramidPooling(self.widths[-1] // 4, norm=batch_norm, name='ppm')(
        x, train
    )
    return conv(self.features, name='fuse')(x, train)


class FeatureFusion(nn.Module):
  """Enlarges the deep features and adds the fine ones."""

  features: int
  dilation: int

  @nn.compact
  def __call__(self, fine, deep, train):
    x = resize(deep, fine.shape[1:3])
    x = conv(
        x.shape[-1],
        dilation=self.dilation,
        groups=x.shape[-1],
        name='deep_depthwise',
    )(x, train)
    linear = functools.partial(conv, self.features, kernel=1, act=None)
    x = linear(name='deep_pointwise')(x, train)
    return nn.relu(x + linear(name='fine')(fine, train))


class Model(nn.Module):
  """Shared stem, deep branch, fusion and two separable convolutions."""

  num_classes: int
  stem: tuple[int, int, int] = (32, 48, 64)
  widths: tuple[int, int, int] = (64, 96, 128)  # Of the deep branch's stages.
  features: int = 128
  fusion_dilation: int = 1
  dropout: float = 0.1
  aux_features: int = 32  # Channels of the auxiliary heads; 0: there are none.

  @nn.compact
  def __call__(self, image, *, train=False):
    size = image.shape[1:3]
    fine = LearningToDownsample(self.stem, name='downsample')(image, train)
    deep = GlobalFeatureExtractor(self.widths, self.features, name='extractor')(
        fine, train
    )
    x = FeatureFusion(self.features, self.fusion_dilation, name='fusion')(
        fine, deep, train
    )
    x = separable(self.features, name='conv1')(x, train)
    x = separable(self.features, name='conv2')(x, train)
    outputs = segmentation_outputs(
        x, self.num_classes, size, train, dropout=self.dropout
    )
    outputs['aux'] = auxiliary_heads(
        {'deep': deep, 'fine': fine},
        dict.fromkeys(('deep', 'fine'), self.aux_features),
        self.num_classes,
        size,
        train,
        dropout=self.dropout,
        norm=batch_norm,
    )
    return outputs
