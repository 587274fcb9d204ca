"""Panoptic-DeepLab, https://arxiv.org/abs/1911.10194.

Two decoders on one backbone: one predicts classes, the other a heat map of the
centres of objects and, for each pixel, the offset to its centre. The task
`panoptic` groups the pixels. Two public code lines differ, and the fields make
both:

- bowenc0221/panoptic-deeplab: the defaults, on 'resnet/50' and others.
- detectron2's project, for its DSConv configs:
  `backbone='resnet/50_v1s(output_stride=16, multi_grid=(1, 2, 4))',
  rates=(6, 12, 18), separable=True, pool_bias=True, levels=('c3', 'c2'),
  low_features=(64, 32), instance_low_features=(64, 32), low_first=True,
  separable_center=False, align_corners=False, dropout=0.1`.

Offsets at full size are multiplied by the ratio of the distances between
pixels, on each axis; bowenc0221 rounds it down, which is the same for images of
4n + 1 pixels, and detectron2 has 4, the same for multiples of 4. Checked
against both.
"""

from collections.abc import Sequence

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.aspp import ASPP
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct
from segjax.layers.head import classifier
from segjax.ops.resize import resize

# The authors' initial spread of the layers that predict.
STD = 0.001


class Decoder(nn.Module):
  """ASPP, and a 5x5 separable convolution at each finer level; figure 2."""

  features: int
  aspp_features: int
  rates: tuple[int, ...]
  levels: tuple[str, ...]  # Finer features that come in, coarsest first.
  low_features: tuple[int, ...]  # That each of them is reduced to.
  low_first: bool  # In the concatenations.
  separable: bool
  pool_bias: bool
  align_corners: bool
  dropout: float

  @nn.compact
  def __call__(self, feats, train):
    x = ASPP(
        self.aspp_features,
        self.rates,
        separable=self.separable,
        image_norm=None,
        image_bias=self.pool_bias,
        name='aspp',
    )(feats['c5'], train)
    x = nn.Dropout(self.dropout)(x, deterministic=not train)
    for level, width in zip(self.levels, self.low_features, strict=True):
      low = ConvNormAct(width, kernel=1, name=f'low_{level}')(
          feats[level], train
      )
      x = resize(x, low.shape[1:3], align_corners=self.align_corners)
      both = [low, x] if self.low_first else [x, low]
      x = SeparableConvNormAct(self.features, kernel=5, name=f'fuse_{level}')(
          jnp.concatenate(both, -1), train
      )
    return x


class Model(nn.Module):
  """Backbone, a decoder for classes and one for centres and offsets."""

  num_classes: int
  backbone: str = 'resnet/50'
  rates: tuple[int, ...] = (3, 6, 9)
  separable: bool = False  # The atrous convolutions of ASPP.
  pool_bias: bool = False  # Of ASPP's convolution of the image's mean.
  aspp_features: int = 256
  features: int = 256
  instance_features: int = 128
  head_features: int = 32  # Of the heads of centres and offsets.
  levels: tuple[str, ...] = ('c4', 'c3', 'c2')
  low_features: tuple[int, ...] = (128, 64, 32)
  instance_low_features: tuple[int, ...] = (64, 32, 16)
  low_first: bool = False  # In the concatenations with them.
  # One 5x5 separable convolution in the head of centres, or two 3x3 ones.
  separable_center: bool = True
  align_corners: bool = True
  dropout: float = 0.5

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone, ('c5', *self.levels), name='backbone'
    )(image, train)
    x = self.decoder(self.features, self.low_features, 'semantic')(feats, train)
    x = _separable(self.features, 'semantic_head')(x, train)
    logits = classifier(self.num_classes, std=STD)(x)

    y = self.decoder(
        self.instance_features, self.instance_low_features, 'instance'
    )(feats, train)
    if self.separable_center:
      heat = _separable(self.head_features, 'center_head')(y, train)
    else:
      heat = y
      widths = self.instance_features, self.head_features
      for i, width in enumerate(widths, 1):
        heat = ConvNormAct(width, name=f'center_head{i}')(heat, train)
    center = classifier(1, 'center', STD)(heat)
    y = _separable(self.head_features, 'offset_head')(y, train)
    offset = classifier(2, 'offset', STD)(y)

    size, corners = image.shape[1:3], self.align_corners
    factors = scale(offset.shape[1:3], size, corners)
    offset = resize(offset, size, align_corners=corners)
    return {
        'logits': resize(logits, size, align_corners=corners),
        'aux': {},
        'center': resize(center, size, align_corners=corners)[..., 0],
        'offset': offset * jnp.asarray(factors, offset.dtype),
    }

  def decoder(self, features, low_features, name):
    """Returns the `Decoder` of classes or that of instances."""
    return Decoder(
        features,
        self.aspp_features,
        self.rates,
        self.levels,
        low_features,
        self.low_first,
        self.separable,
        self.pool_bias,
        self.align_corners,
        self.dropout,
        name=name,
    )


def _separable(features, name):
  return SeparableConvNormAct(features, kernel=5, name=name)


def scale(
    old: Sequence[int], new: Sequence[int], align_corners: bool
) -> tuple[float, ...]:
  """Returns how many new pixels lie between two old ones, on each axis."""
  ends = int(align_corners)
  return tuple(
      (n - ends) / max(o - ends, 1) for o, n in zip(old, new, strict=True)
  )
