"""Axial-DeepLab, https://arxiv.org/abs/2003.07853.

Panoptic-DeepLab's decoders and heads on a backbone of axial attention, see
`segjax.backbones.axial_resnet`: one decoder predicts classes, the other centres
of objects and offsets to them, and the task `panoptic` groups the pixels. In
the place of ASPP stands a 1x1 convolution, since attention sees the whole image
already.

This is the code of google-research/deeplab2, which has no local attention: its
own tables of positions end at 129 pixels of a stage, so its panoptic recipes
are those of Axial-SWideRNet, 'axial_resnet/swidernet', which attends at stride
16 alone. 'axial_resnet/deeplab_s' and '/deeplab_l' are the paper's, where all
stages attend; in large images their attention is along whole lines, while the
paper limits it to a part of them. Checked against DeepLab2.
"""

import functools

from flax import linen as nn

from segjax import backbones
from segjax.layers import norm as norms
from segjax.layers.panoptic_decoder import panoptic_outputs


class Model(nn.Module):
  """Axial backbone, a decoder for classes and one for centres and offsets."""

  num_classes: int
  backbone: str = 'axial_resnet/swidernet'
  aspp_features: int = 256  # Of the 1x1 convolution.
  features: int = 256
  instance_features: int = 128
  head_features: int = 32  # Of the heads of centres and offsets.
  levels: tuple[str, ...] = ('c3', 'c2')
  low_features: tuple[int, ...] = (64, 32)
  instance_low_features: tuple[int, ...] = (32, 16)
  dropout: float = 0.1

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
        norm=functools.partial(norms.BatchNorm, epsilon=1e-3, momentum=0.99),
        aspp_features=self.aspp_features,
        rates=(),
        levels=self.levels,
        dropout=self.dropout,
    )
