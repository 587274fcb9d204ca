"""FCN on a dilated ResNet, after https://arxiv.org/abs/1411.4038.

This is what torchvision and mmsegmentation call FCN: a dilated ResNet, 3x3
convolutions and a classifier. The network of the paper, a VGG with skips, is
`fcn`. The defaults are torchvision 0.28's. mmsegmentation 1.2.2 has another
stem and more convolutions: `backbone='resnet/50_v1c(output_stride=8)',
head_convs=2, head_concat=True`, and its D6 variants have output stride 16 and
`head_dilation=6`. Checked against both.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points


class Model(nn.Module):
  """Dilated backbone, 3x3 convolutions, bilinear upsampling."""

  num_classes: int
  backbone: str = 'resnet/50(output_stride=8)'
  head_convs: int = 1  # Number of 3x3 convolutions.
  head_dilation: int = 1  # Their dilation.
  head_concat: bool = False  # Whether a convolution reads their input as well.
  dropout: float = 0.1
  aux_level: str = 'c4'  # Level of the auxiliary head; '' omits it.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        ('c5', self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = feats['c5']
    features = x.shape[-1] // 4
    for i in range(1, self.head_convs + 1):
      x = ConvNormAct(features, dilation=self.head_dilation, name=f'conv{i}')(
          x, train
      )
    if self.head_concat:
      x = jnp.concatenate([feats['c5'], x], -1)
      x = ConvNormAct(features, name='fuse')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
        points=self.points,
    )


# That of the task, and of a point head if there is one.
loss = points.loss
