"""ContextNet, https://arxiv.org/abs/1805.04554.

A shallow branch sees details of the whole image, a deep one the context in an
image of a quarter of the size, and their sum is classified. The authors
published no code: this is that of SegmenTron (LikeLy-Journey), and was checked
against it. It has two more separable convolutions before the classifier and an
auxiliary head, and does not pad the first convolutions; the paper dilates in
the fusion, `fusion_dilation=4`, and has neither, `head_depth=0, aux_level=''`.
"""

import functools

from flax import linen as nn
import jax

from segjax.backbones.mobilenet import InvertedResidual
from segjax.backbones.mobilenet import Row
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct
from segjax.layers.head import segmentation_outputs
from segjax.ops.resize import resize

# Expansion, channels, blocks and stride of the stages of the context branch.
STAGES = (
    (1, 32, 1, 1),
    (6, 32, 1, 1),
    (6, 48, 3, 2),
    (6, 64, 3, 2),
    (6, 96, 2, 1),
    (6, 128, 2, 1),
)


class Detail(nn.Module):
  """Applies a convolution and three separable ones; stride 8."""

  features: tuple[int, int, int]
  padding: int

  @nn.compact
  def __call__(self, x, train):
    first, second, third = self.features
    x = ConvNormAct(first, stride=2, padding=self.padding, name='conv1')(
        x, train
    )
    x = SeparableConvNormAct(second, stride=2, name='conv2')(x, train)
    x = SeparableConvNormAct(third, stride=2, name='conv3')(x, train)
    return SeparableConvNormAct(third, name='conv4')(x, train)


class Context(nn.Module):
  """Applies a convolution and stages of inverted residual blocks; stride 8."""

  stem: int
  stages: tuple[tuple[int, int, int, int], ...]
  padding: int

  @nn.compact
  def __call__(self, x, train):
    x = ConvNormAct(self.stem, stride=2, padding=self.padding, name='stem')(
        x, train
    )
    for i, (expansion, features, depth, stride) in enumerate(self.stages, 1):
      for j in range(depth):
        row = Row(
            kernel=3,
            expanded=expansion * x.shape[-1],
            features=features,
            squeeze=False,
            act=nn.relu,
            stride=stride if j == 0 else 1,
        )
        x = InvertedResidual(
            row, stride=row.stride, always_expand=True, name=f'stage{i}_{j}'
        )(x, train)
    return x


class Fusion(nn.Module):
  """Adds context, enlarged, to details."""

  features: int
  dilation: int

  @nn.compact
  def __call__(self, detail, context, train):
    linear = functools.partial(
        ConvNormAct, self.features, kernel=1, bias=True, act=None
    )
    x = resize(context, detail.shape[1:3], align_corners=True)
    x = ConvNormAct(
        x.shape[-1],
        dilation=self.dilation,
        groups=x.shape[-1],
        name='depthwise',
    )(x, train)
    x = linear(name='context')(x, train)
    return nn.relu(x + linear(name='detail')(detail, train))


class Model(nn.Module):
  """Two branches, their fusion, separable convolutions, upsampling."""

  num_classes: int
  detail: tuple[int, int, int] = (32, 64, 128)  # Channels of its convolutions.
  stem: int = 32  # Channels of the first convolution of the context branch.
  stages: tuple[tuple[int, int, int, int], ...] = STAGES
  features: int = 128  # Of the fusion and after it.
  scale: float = 0.25  # Of the image that the context branch sees.
  padding: int = 0  # Zeros on each side, of the first convolutions.
  fusion_dilation: int = 1
  head_depth: int = 2  # Separable convolutions before the classifier.
  dropout: float = 0.1
  aux_level: str = 'detail'  # That an auxiliary head is on; '': there is none.
  aux_features: int = 32

  @nn.compact
  def __call__(self, image, *, train=False):
    size = image.shape[1:3]
    detail = Detail(self.detail, self.padding, name='detail')(image, train)
    context = Context(self.stem, self.stages, self.padding, name='context')(
        shrink(image, self.scale), train
    )
    x = Fusion(self.features, self.fusion_dilation, name='fusion')(
        detail, context, train
    )
    for i in range(self.head_depth):
      x = SeparableConvNormAct(self.features, name=f'head{i + 1}')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        size,
        train,
        dropout=self.dropout,
        feats={'detail': detail, 'context': context},
        aux_level=self.aux_level,
        aux_features=self.aux_features,
        align_corners=True,
    )


def shrink(image: jax.Array, scale: float) -> jax.Array:
  """Resizes an image to `scale` of its size, rounded down."""
  size = tuple(max(int(scale * side), 1) for side in image.shape[1:3])
  return resize(image, size, align_corners=True)
