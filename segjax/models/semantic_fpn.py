"""Semantic FPN, https://arxiv.org/abs/1901.02446, section 3.

A feature pyramid for detection segments as well: each level is enlarged to
stride 4 in steps of two, with a convolution before each step, and the levels
are summed (figure 3). Checked against mmsegmentation 1.2.2, the default. The
paper's branches have group norm and there is no dropout:
`backbone='resnet/101', group_norm=True, dropout=0.0`. `FPN` of
segmentation_models_pytorch 0.6.0 does not smooth the pyramid and drops whole
channels: `smooth=False, group_norm=True, dropout=0.2, drop_channels=True,
align_corners=True` on 'resnet/34'. Checked against that too.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers import norm as norms
from segjax.layers.fpn import FPN
from segjax.layers.fpn import sum_levels
from segjax.layers.head import segmentation_outputs


class Model(nn.Module):
  """Strided backbone, pyramid, a sum of its levels at stride 4."""

  num_classes: int
  backbone: str = 'resnet/50_v1c'
  pyramid_features: int = 256
  features: int = 128
  smooth: bool = True  # Whether 3x3 convolutions end the pyramid.
  group_norm: bool = False  # In the branches; else batch norm.
  dropout: float = 0.1
  drop_channels: bool = False  # Whole ones; else single numbers.
  align_corners: bool = False

  @nn.compact
  def __call__(self, image, *, train=False):
    levels = ('c2', 'c3', 'c4', 'c5')
    feats = backbones.build(self.backbone, levels, name='backbone')(
        image, train
    )
    pyramid = FPN(self.pyramid_features, smooth=self.smooth, name='fpn')(
        {level: feats[level] for level in levels}, train
    )
    norm = norms.group_norm if self.group_norm else norms.BatchNorm
    return segmentation_outputs(
        sum_levels(
            pyramid,
            self.features,
            norm,
            train,
            align_corners=self.align_corners,
        ),
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        dropout_dims=(1, 2) if self.drop_channels else (),
        align_corners=self.align_corners,
    )
