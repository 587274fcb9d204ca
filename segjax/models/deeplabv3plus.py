"""DeepLabv3+, https://arxiv.org/abs/1802.02611.

DeepLabv3 encodes; a small decoder brings in features of stride 4, so that
boundaries are sharp (figure 2). ASPP and decoder use separable convolutions.
The defaults are the paper's network as TensorFlow's DeepLab writes it. The
others that people hold weights of:

- mmsegmentation: `features=512, rates=(12, 24, 36), output_stride=8,
  project_kernel=3, align_corners=False, dropout=(0.0, 0.0, 0.1),
  aux_features=256` on 'resnet/50_v1c', 'mobilenet/v2_mmseg' and others.
- jfzhang95/pytorch-deeplab-xception: `separable=False, image_first=False,
  dropout=(0.5, 0.5, 0.1)` on 'resnet/101' with `multi_grid=(1, 2, 4)`, on
  'mobilenet/v2_jfzhang', 'xception/65_jfzhang', and 'drn/d_54' with
  `rates=(12, 24, 36), output_stride=8`.

Checked against mmsegmentation 1.2.2, jfzhang95's code, and a rebuild of
TensorFlow's in PyTorch.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.aspp import ASPP
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct
from segjax.layers.head import FCNHead
from segjax.layers.head import auxiliary
from segjax.layers.head import classifier
from segjax.ops.resize import resize


class Model(nn.Module):
  """Dilated backbone, ASPP, and two 3x3 convolutions at stride 4."""

  num_classes: int
  backbone: str = 'xception/65'
  output_stride: int = 16
  multi_grid: tuple[int, ...] = ()  # Of a ResNet.
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
    fields = {'multi_grid': self.multi_grid} if self.multi_grid else {}
    feats = backbones.build(
        self.backbone,
        output_stride=self.output_stride,
        name='backbone',
        **fields,
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
    for i, rate in enumerate(self.dropout[1:], 1):
      x = conv(self.features, name=f'refine{i}')(x, train)
      x = nn.Dropout(rate)(x, deterministic=not train)
    logits = classifier(self.num_classes)(x)
    size, corners = image.shape[1:3], self.align_corners
    head = FCNHead(
        self.num_classes, self.dropout[-1], self.aux_features, name='aux'
    )
    level = 'c4' if self.aux_features else ''
    return {
        'logits': resize(logits, size, align_corners=corners),
        'aux': auxiliary(
            head, feats, level, size, train, align_corners=corners
        ),
    }
