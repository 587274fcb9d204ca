"""ANN, https://arxiv.org/abs/1908.07678.

Asymmetric non-local blocks: every position attends to the means over cells of a
few grids instead of to all positions, once from the last level to the one
before, which fuses the two, and once within the fused features. As
mmsegmentation 1.2.2 builds it, and checked against it; the authors' own
(MendelXu/ANN) has biases before its norms and other rates of dropout.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.attention import Attention
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points


class AsymmetricNonLocal(nn.Module):
  """Joins features with what they gather from cells of another map.

  The projection of what is gathered begins as zeros.
  """

  features: int
  key_features: int
  bins: tuple[int, ...]
  shared: bool  # See `Attention`.
  relu: bool  # Whether a ReLU ends the block.

  @nn.compact
  def __call__(self, x, source, train):
    y = Attention(
        self.key_features,
        self.key_features,
        shared=self.shared,
        bins=self.bins,
        name='attention',
    )(x, source, train)
    y = conv(
        x.shape[-1], 1, bias=True, init=nn.initializers.zeros, name='project'
    )(y)
    y = jnp.concatenate([y, x], -1)
    return ConvNormAct(
        self.features,
        kernel=1,
        act=nn.relu if self.relu else None,
        name='fuse',
    )(y, train)


class Model(nn.Module):
  """Dilated backbone, two asymmetric non-local blocks."""

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  features: int = 512
  key_features: int = 256
  bins: tuple[int, ...] = (1, 3, 6, 8)  # Rows and columns of the grids.
  align_corners: bool = False
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.
  aux_features: int = 0  # Channels of that head; 0: a quarter of the level's.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        ('c4', 'c5', self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = AsymmetricNonLocal(
        feats['c5'].shape[-1],
        self.key_features,
        self.bins,
        shared=False,
        relu=False,
        name='fusion',
    )(feats['c5'], feats['c4'], train)
    x = nn.Dropout(self.dropout)(x, deterministic=not train)
    x = ConvNormAct(self.features, name='reduce')(x, train)
    x = AsymmetricNonLocal(
        self.features,
        self.key_features,
        self.bins,
        shared=True,
        relu=True,
        name='context',
    )(x, x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
        aux_features=self.aux_features,
        align_corners=self.align_corners,
        points=self.points,
    )


# That of the task, and of a point head if there is one.
loss = points.loss
