"""Semantic FPN, https://arxiv.org/abs/1901.02446, section 3.

A feature pyramid for detection segments as well: each level is enlarged to
stride 4 in steps of two, with a convolution before each step, and the levels
are summed (figure 3). Checked against mmsegmentation 1.2.2, the default. The
paper's branches have group norm and there is no dropout:
`backbone='resnet/101', group_norm=True, dropout=0.0`.
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
  group_norm: bool = False  # In the branches; else batch norm.
  dropout: float = 0.1

  @nn.compact
  def __call__(self, image, *, train=False):
    levels = ('c2', 'c3', 'c4', 'c5')
    feats = backbones.build(self.backbone, levels, name='backbone')(
        image, train
    )
    pyramid = FPN(self.pyramid_features, name='fpn')(
        {level: feats[level] for level in levels}, train
    )
    norm = norms.group_norm if self.group_norm else norms.BatchNorm
    return segmentation_outputs(
        sum_levels(pyramid, self.features, norm, train),
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
    )
