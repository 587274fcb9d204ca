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
from segjax.layers.conv import ConvNormAct
from segjax.layers.fpn import FPN
from segjax.layers.head import segmentation_outputs
from segjax.ops.resize import resize


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
    finest = pyramid['c2'].shape[1:3]
    total = 0
    for doublings, level in enumerate(levels):
      x = pyramid[level]
      for i in range(1, max(doublings, 1) + 1):
        x = ConvNormAct(self.features, norm=norm, name=f'{level}_conv{i}')(
            x, train
        )
        if doublings:
          x = resize(x, (2 * x.shape[1], 2 * x.shape[2]))
      # Sides that do not divide by 32 have become longer than the finest.
      total += resize(x, finest)
    return segmentation_outputs(
        total,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
    )
