"""DeepLabv3+, https://arxiv.org/abs/1802.02611.

DeepLabv3 is the encoder, and a small decoder adds features of stride 4, which
makes boundaries sharper (figure 2). ASPP and decoder use separable
convolutions. The defaults are the paper's network as in TensorFlow's DeepLab.
Other networks with published weights:

- mmsegmentation: `features=512, rates=(12, 24, 36), project_kernel=3,
  align_corners=False, dropout=(0.0, 0.0, 0.1), aux_features=256` on
  'resnet/50_v1c(output_stride=8)', 'mobilenet/v2_mmseg(output_stride=8)' and
  others.
- jfzhang95/pytorch-deeplab-xception: `separable=False, image_first=False,
  dropout=(0.5, 0.5, 0.1)` on 'mobilenet/v2_jfzhang(output_stride=16)',
  'xception/65_jfzhang(output_stride=16)',
  'resnet/101(output_stride=16, multi_grid=(1, 2, 4))', and 'drn/d_54' with
  `rates=(12, 24, 36)`.
- segmentation_models_pytorch: `rates=(12, 24, 36), between=False,
  image_first=False, aspp_refine=True, refinements=1, dropout=(0.5, 0.0, 0.0)`
  on 'resnet/34(output_stride=16, dilate_first=True)'.

Checked against mmsegmentation 1.2.2, jfzhang95's code,
segmentation_models_pytorch 0.6.0, and a PyTorch network built from TensorFlow's
code.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.aspp import ASPP
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points
from segjax.ops.resize import resize


class Model(nn.Module):
  """Dilated backbone, ASPP, and two 3x3 convolutions at stride 4."""

  num_classes: int
  backbone: str = 'xception/65(output_stride=16)'
  rates: tuple[int, ...] = (6, 12, 18)  # Dilations of ASPP.
  features: int = 256
  low_features: int = 48  # Channels that features of stride 4 are reduced to.
  separable: bool = True
  between: bool = True  # Of separable ones, see `SeparableConvNormAct`.
  # Whether ASPP concatenates the image's mean before the other branches.
  image_first: bool = True
  project_kernel: int = 1  # Kernel of the convolution that ends ASPP.
  aspp_refine: bool = False  # Whether a 3x3 convolution follows ASPP.
  refinements: int = 2  # Number of 3x3 convolutions of the decoder.
  align_corners: bool = True
  # Rates after ASPP and after each convolution of the decoder.
  dropout: tuple[float, float, float] = (0.1, 0.0, 0.0)
  aux_features: int = 0  # Channels of the auxiliary head on 'c4'; 0 omits it.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    level = 'c4' if self.aux_features else ''
    feats = backbones.build(
        self.backbone,
        ('c2', 'c5', level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = ASPP(
        self.features,
        self.rates,
        separable=self.separable,
        between=self.between,
        image_first=self.image_first,
        project_kernel=self.project_kernel,
        name='aspp',
    )(feats['c5'], train)
    x = nn.Dropout(self.dropout[0])(x, deterministic=not train)
    conv = ConvNormAct
    if self.separable:
      conv = functools.partial(SeparableConvNormAct, between=self.between)
    if self.aspp_refine:
      x = conv(self.features, name='aspp_refine')(x, train)
    low = ConvNormAct(self.low_features, kernel=1, name='low')(
        feats['c2'], train
    )
    x = resize(x, low.shape[1:3], align_corners=self.align_corners)
    x = jnp.concatenate([x, low], -1)
    for i in range(1, self.refinements + 1):
      if i > 1:
        x = nn.Dropout(self.dropout[1])(x, deterministic=not train)
      x = conv(self.features, name=f'refine{i}')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout[2],
        feats=feats,
        aux_level=level,
        aux_features=self.aux_features,
        align_corners=self.align_corners,
        points=self.points,
    )


# That of the task, and of a point head if there is one.
loss = points.loss
