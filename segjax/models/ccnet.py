"""CCNet, https://arxiv.org/abs/1811.11721.

Criss-cross attention: a position gathers from its own row and column, and when
it does so a second time, with the same weights, every position has reached
every other. As mmsegmentation 1.2.2 builds it, and checked against it; the
authors' own (speedinghzl/CCNet) has in-place activated norms and
`align_corners=True`.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.attention import ResidualAttention
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points
from segjax.ops.criss_cross import criss_cross_attention


class Model(nn.Module):
  """Dilated backbone, recurrent criss-cross attention, two convolutions."""

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  features: int = 512
  key_features: int = 64
  recurrence: int = 2  # How often the attention is applied.
  align_corners: bool = False
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        ('c5', self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    attend = ResidualAttention(
        self.key_features, criss_cross_attention, name='attention'
    )
    x = ConvNormAct(self.features, name='reduce')(feats['c5'], train)
    for _ in range(self.recurrence):
      x = attend(x)
    x = ConvNormAct(self.features, name='refine')(x, train)
    x = jnp.concatenate([feats['c5'], x], -1)
    x = ConvNormAct(self.features, name='fuse')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
        align_corners=self.align_corners,
        points=self.points,
    )


# That of the task, and of a point head if there is one.
loss = points.loss
