"""DeepLabv3+, https://arxiv.org/abs/1802.02611.

DeepLabv3 encodes; a small decoder brings in features of stride 4, so that
boundaries are sharp (figure 2). ASPP and decoder use separable convolutions.
The defaults are the paper's network as TensorFlow's DeepLab writes it. The
others that people hold weights of:

- mmsegmentation: `features=512, rates=(12, 24, 36), project_kernel=3,
  align_corners=False, dropout=(0.0, 0.0, 0.1), aux_features=256` on
  'resnet/50_v1c(output_stride=8)', 'mobilenet/v2_mmseg(output_stride=8)' and
  others.
- jfzhang95/pytorch-deeplab-xception: `separable=False, image_first=False,
  dropout=(0.5, 0.5, 0.1)` on 'mobilenet/v2_jfzhang(output_stride=16)',
  'xception/65_jfzhang(output_stride=16)',
  'resnet/101(output_stride=16, multi_grid=(1, 2, 4))', and 'drn/d_54' with
  `rates=(12, 24, 36)`.

Checked against mmsegmentation 1.2.2, jfzhang95's code, and a rebuild of
TensorFlow's in PyTorch.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.aspp import ASPP
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct
from segjax.layers.head import segmentation_outputs
from segjax.ops.resize import resize


class Model(nn.Module):
  """Dilated backbone, ASPP, and two 3x3 convolutions at stride 4."""

  num_classes: int
  backbone: str = 'xception/65(output_stride=16)'
  rates: tuple[int, ...] = (6, 12, 18)
  features: int = 256
  low_features: int = 48  # That the features of stride 4 are reduced to.
  separable: bool = True
  image_first: bool = True  # In the concatenation of ASPP.
  project_kernel: int = 1
  align_corners: bool = True
  # After ASPP and after each convolution of the decoder.
  dropout: tuple[float, float, float] = (0.1, 0.0, 0.0)
  aux_features: int = 0  # Of an auxiliary head on 'c4'; 0: there is none.

  @nn.compact
  def __call__(self, image, *, train=False):
    level = 'c4' if self.aux_features else ''
    feats = backbones.build(
        self.backbone, ('c2', 'c5', level), name='backbone'
    )(image, train)
    x = ASPP(
        self.features,
        self.rates,
        separable=self.separable,
        image_first=self.image_first,
        project_kernel=self.project_kernel,
        name='aspp',
    )(feats['c5'], train)
    x = nn.Dropout(self.dropout[0])(x, deterministic=not train)
    low = ConvNormAct(self.low_features, kernel=1, name='low')(
        feats['c2'], train
    )
    x = resize(x, low.shape[1:3], align_corners=self.align_corners)
    x = jnp.concatenate([x, low], -1)
    conv = SeparableConvNormAct if self.separable else ConvNormAct
    x = conv(self.features, name='refine1')(x, train)
    x = nn.Dropout(self.dropout[1])(x, deterministic=not train)
    x = conv(self.features, name='refine2')(x, train)
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
    )
