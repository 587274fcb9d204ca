"""Panoptic-DeepLab, https://arxiv.org/abs/1911.10194.

Two decoders on one backbone: one predicts classes, the other a heat map of the
centres of objects and, for each pixel, the offset to its centre. The task
`panoptic` groups the pixels. Three public code lines differ, and the fields
make all of them:

- bowenc0221/panoptic-deeplab: the defaults, on 'resnet/50' and others.
- detectron2's project, for its DSConv configs:
  `backbone='resnet/50_v1s(output_stride=16, multi_grid=(1, 2, 4))',
  rates=(6, 12, 18), separable=True, pool_bias=True, levels=('c3', 'c2'),
  low_features=(64, 32), instance_low_features=(64, 32), low_first=True,
  separable_center=False, align_corners=False, dropout=0.1`.
- google-research/deeplab2, for its ResNet-50-Beta: `backbone='resnet/50_beta',
  image_norm=True, levels=('c3', 'c2'), low_features=(64, 32),
  instance_low_features=(32, 16), dropout=0.1, epsilon=1e-3, momentum=0.99`.

Offsets at full size are multiplied by the ratio of the distances between
pixels, on each axis, as in deeplab2; bowenc0221 rounds it down, which is the
same for images of 4n + 1 pixels, and detectron2 has 4, the same for multiples
of 4. Checked against all three.
"""

import functools

from flax import linen as nn

from segjax import backbones
from segjax.layers import norm as norms
from segjax.layers.panoptic_decoder import panoptic_outputs


class Model(nn.Module):
  """Backbone, a decoder for classes and one for centres and offsets."""

  num_classes: int
  backbone: str = 'resnet/50'
  rates: tuple[int, ...] = (3, 6, 9)
  separable: bool = False  # The atrous convolutions of ASPP.
  image_norm: bool = False  # Of ASPP's convolution of the image's mean.
  pool_bias: bool = False  # The same.
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
  # Of the norms behind the backbone.
  epsilon: float = 1e-5
  momentum: float = 0.9

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone, ('c5', *self.levels), name='backbone'
    )(image, train)
    return panoptic_outputs(
        feats,
        self.num_classes,
        image.shape[1:3],
        train,
        features=self.features,
        instance_features=self.instance_features,
        head_features=self.head_features,
        low_features=self.low_features,
        instance_low_features=self.instance_low_features,
        separable_center=self.separable_center,
        align_corners=self.align_corners,
        norm=functools.partial(
            norms.BatchNorm, epsilon=self.epsilon, momentum=self.momentum
        ),
        aspp_features=self.aspp_features,
        rates=self.rates,
        levels=self.levels,
        low_first=self.low_first,
        separable=self.separable,
        image_norm=self.image_norm,
        pool_bias=self.pool_bias,
        dropout=self.dropout,
    )
